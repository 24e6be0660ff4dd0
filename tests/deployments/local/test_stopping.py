"""`reranker stop` ends everything, also when it is interrupted meanwhile."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from flows.hosting.processes import ProcessId, Server

_STOP = """
import os, signal
from deployments.command_line import stop
from deployments.local.stack import Stack

def interrupted(stack):
    os.kill(os.getpid(), signal.SIGINT)
    return 0

Stack._take_down = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts without
try:
    stop()
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_while_the_stack_ends_does_not_leave_the_service_running(tmp_path: Path) -> None:
    """In a process of its own: an interrupt that came late would end the tests."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as service:
        threading.Thread(target=service.wait, daemon=True).start()  # as init does for a server whose flow has ended
        try:
            leader = ProcessId.of(psutil.Process(service.pid))
            server = Server(tag="reranker:1", address="127.0.0.1", port=1, log=tmp_path / "log", leader=leader)
            host = tmp_path / "host"
            host.mkdir()
            (host / "servers.json").write_text(f'{{"live": {server.model_dump_json()}}}', "utf-8")

            environment = os.environ | {"RERANKER_HOME": str(tmp_path)}
            stopped = subprocess.run(
                [sys.executable, "-c", _STOP], env=environment, capture_output=True, text=True, timeout=60, check=True
            )
            assert stopped.stdout.splitlines()[-1] == "interrupted"
            assert not server.running
        finally:
            service.kill()
