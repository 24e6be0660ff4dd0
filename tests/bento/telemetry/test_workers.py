import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# What `bentoml serve` does: it starts workers that all get one folder, which it has emptied.
SERVER = """
import os, subprocess, sys
worker = '''
import os, sys
from bento.telemetry.workers import count_apart
count_apart()
from bento.telemetry.metrics import Metrics
Metrics("reranker:3").answered("/v1/rerank", 200, 0.01)
print(os.environ["PROMETHEUS_MULTIPROC_DIR"], flush=True)
sys.stdin.read()
'''
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
workers = [subprocess.Popen([sys.executable, "-c", worker], **pipes) for _ in range(2)]
print(*(one.stdout.readline().strip() for one in workers), flush=True)
sys.stdin.read()
for one in workers:
    one.communicate()
"""


def serve(home: Path) -> "tuple[subprocess.Popen[str], set[Path]]":
    environ = {**os.environ, "TMPDIR": str(home), "PROMETHEUS_MULTIPROC_DIR": str(home), "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    )
    assert server.stdout is not None
    return server, {Path(folder) for folder in server.stdout.readline().split()}


def test_each_server_counts_apart_and_takes_away_what_ended_ones_left(tmp_path: Path) -> None:
    blue, blue_folders = serve(tmp_path)
    green, green_folders = serve(tmp_path)
    (of_blue,), (of_green,) = blue_folders, green_folders  # the workers of one share theirs
    assert of_blue != of_green
    assert len(list(of_blue.glob("counter_*.db"))) == len(list(of_green.glob("counter_*.db"))) == 2
    assert of_blue.parent.stat().st_mode & 0o777 == 0o700
    blue.communicate()
    other, _ = serve(tmp_path)
    assert not of_blue.exists()
    assert of_green.exists()
    green.communicate()
    other.communicate()


def test_outside_a_worker_it_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bento.telemetry.workers import count_apart

    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    count_apart()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_somebody_else_laid_out_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bento.telemetry.workers import count_apart

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"reranker-metrics-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="TMPDIR"):
        count_apart()
