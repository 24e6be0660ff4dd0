"""The registry against a real tracking server, over HTTP, with the artifacts passing through it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

from flows.registry import Registry
from flows.settings import RegistrySettings

pytestmark = pytest.mark.slow

METRICS = {"ndcg@10": 0.7}
CONFIGURATION = "0123456789abcdef"

DIES = """
import os, signal, sys
from pathlib import Path
from flows.contracts.model import TrainedModel
from flows.contracts.snapshot import Snapshot
from flows.registry import Registry
from flows.settings import RegistrySettings

uri, snapshot, trained = sys.argv[1:]
registry = Registry(RegistrySettings(), uri)
client = registry._client
upload = client.log_model_artifact

def upload_some(model_id, staged):
    upload(model_id, f"{staged}/artifacts/cross_encoder/model.safetensors", "artifacts/cross_encoder")
    os.kill(os.getpid(), signal.SIGKILL)

client.log_model_artifacts = upload_some
with registry.training_run(Snapshot(Path(snapshot)), "0123456789abcdef", {"loss": "bce"}) as run:
    run.log({"loss": 1.0}, 1)
    registry.register(TrainedModel.model_validate_json(trained), {"ndcg@10": 0.7})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_database):
    home = tmp_path_factory.mktemp("server")
    (home / "mlflow.db").write_bytes(empty_database.read_bytes())
    port = free_port()
    process = start_server(home, port)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_server(home, port):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{home}/mlflow.db"),
            *("--artifacts-destination", str(home / "artifacts")),
        ],
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_until_healthy(process, f"http://127.0.0.1:{port}")
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process


def wait_until_healthy(process, uri):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5) as answer:
                assert answer.status == 200
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError("the server did not answer within two minutes")


def test_killed_half_way_then_registered_promoted_fetched_and_loaded(server, snapshot, trained, tmp_path):
    model = trained()
    dead = subprocess.run(
        [sys.executable, "-c", DIES, server, str(snapshot.folder), model.model_dump_json()],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr

    registry = Registry(RegistrySettings(), server)
    assert registry.versions() == []
    with registry.training_run(snapshot, CONFIGURATION, {"loss": "bce"}) as run:
        run.log({"loss": 0.5}, 2)
    scores = pd.DataFrame({"query_id": ["a"], "ndcg@10": [1.0]})
    version = registry.register(model, METRICS, {"challenger.parquet": scores})
    assert registry.register(model, METRICS) == version
    assert (version.version, version.run_id, version.aliases) == (1, run.run_id, ("challenger",))
    runs = registry._client.search_runs([registry._experiment_id()], order_by=["attributes.start_time"])
    assert [run.info.status for run in runs] == ["KILLED", "FINISHED"]

    registry.promote(1)
    assert [v.version for v in registry.versions()] == [1]
    assert registry.champion().aliases == ("champion",)
    folder = registry.fetch(1, tmp_path / "fetched")
    assert (folder / "model.safetensors").read_bytes() == (model.folder / "model.safetensors").read_bytes()
    assert registry.about(1).metrics == METRICS
    pd.testing.assert_frame_equal(registry.evidence(1, "challenger.parquet"), scores)
    assert registry.page(1) == f"{server}/#/models/reranker/versions/1"

    import mlflow

    mlflow.set_tracking_uri(server)
    try:
        loaded = mlflow.pyfunc.load_model("models:/reranker@champion")
        answer = loaded.predict(pd.DataFrame({"query": ["sort"], "document": ["a list"]}))
    finally:
        mlflow.set_tracking_uri(None)
    assert answer.shape == (1,)
    assert 0 < answer[0] < 1


def test_a_server_that_was_killed_in_mid_training_gets_every_point_when_it_is_back(
    tmp_path, empty_database, snapshot, caplog, monkeypatch
):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    port = free_port()
    process = start_server(tmp_path, port)
    try:
        registry = Registry(RegistrySettings(retries=0, timeout_seconds=5), f"http://127.0.0.1:{port}")
        with registry.training_run(snapshot, CONFIGURATION, {"loss": "bce"}) as run:
            run.log({"loss": 3.0}, 1)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
            run._next_send = 0.0  # as if two seconds had passed
            run.log({"loss": 2.0}, 2)
            assert "1 metrics wait until MLflow answers again" in caplog.text
            run.log({"loss": 1.0}, 3)
            process = start_server(tmp_path, port)
        points = registry._client.get_metric_history(run.run_id, "loss")
        assert [(point.step, point.value) for point in points] == [(1, 3.0), (2, 2.0), (3, 1.0)]
        assert registry._client.get_run(run.run_id).info.status == "FINISHED"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
