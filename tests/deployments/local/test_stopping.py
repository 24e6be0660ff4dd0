"""`reranker stop` ends everything, also when it is interrupted meanwhile."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deployments.command_line import stop
from deployments.local.stack import Stack
from flows.hosting.processes import ProcessId, Server
from flows.settings import load_settings


def test_an_interrupt_while_the_stack_ends_does_not_leave_the_service_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANKER_HOME", str(tmp_path))
    load_settings.cache_clear()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as service:
        try:
            leader = ProcessId.of(psutil.Process(service.pid))
            server = Server(tag="reranker:1", address="127.0.0.1", port=1, log=tmp_path / "log", leader=leader)
            host = tmp_path / "host"
            host.mkdir()
            (host / "servers.json").write_text(f'{{"live": {server.model_dump_json()}}}', "utf-8")

            def interrupted(stack: Stack) -> int:
                os.kill(os.getpid(), signal.SIGINT)
                return 0

            monkeypatch.setattr(Stack, "_take_down", interrupted)
            with pytest.raises(KeyboardInterrupt):
                stop()
            assert not server.running
        finally:
            service.kill()
            load_settings.cache_clear()
