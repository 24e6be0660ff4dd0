"""Flow runs whose process is gone without a word: called crashed, so that nothing waits for them.

Prefect finds them by missing heartbeats after a minute and a half. Whoever brings the stack up again after a crash
does not have to wait for that: on this machine, a look at the process is enough.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import psutil

_UNFINISHED = ["RUNNING", "PENDING", "CANCELLING", "PAUSED"]
_MESSAGE = "Its process ended without reporting. Start the deployment again: finished steps are taken up."


def crash_lost_runs(work_pool: str, environment: Mapping[str, str]) -> int:
    """Mark the unfinished runs of a pool whose process is gone, and their subflows; return how many.

    Args:
        work_pool: Served by a process worker of this machine alone.
        environment: Names the server, as `Stack.environment` gives it.
    """
    with httpx.Client(base_url=environment["PREFECT_API_URL"], timeout=30, trust_env=False) as api:
        unfinished = {"state": {"type": {"any_": _UNFINISHED}}}
        runs = _ask(api, {"flow_runs": unfinished, "work_pools": {"name": {"any_": [work_pool]}}})
        lost = [run for run in runs if _is_lost(run)]
        for run in lost:
            _crash(api, run)
    return len(lost)


def _is_lost(run: Mapping[str, Any]) -> bool:
    """Whether the run's process, whose id the worker notes, is gone or has become another's."""
    pid = run["infrastructure_pid"]
    if not pid:
        return False  # not started yet, or a subflow, which is its parent's process
    try:
        process = psutil.Process(int(pid))
        return process.status() == psutil.STATUS_ZOMBIE or run["id"] not in process.environ().values()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _crash(api: httpx.Client, run: Mapping[str, Any]) -> None:
    children = {"parent_flow_run_id": {"any_": [run["id"]]}, "state": {"type": {"any_": _UNFINISHED}}}
    for child in _ask(api, {"flow_runs": children}):
        _crash(api, child)
    state = {"type": "CRASHED", "name": "Crashed", "message": _MESSAGE}
    api.post(f"/flow_runs/{run['id']}/set_state", json={"state": state, "force": True}).raise_for_status()


def _ask(api: httpx.Client, conditions: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.post("/flow_runs/filter", json=conditions).raise_for_status().json()
    return found
