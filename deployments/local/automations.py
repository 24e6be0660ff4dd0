"""What the server does by itself: start the lifecycle on an alarm, tell how it ended, and call lost runs crashed."""

from collections.abc import Mapping
from typing import Any

import httpx

from flows.settings import TriggerSettings

HEARTBEAT_PATIENCE = 90
"""Seconds without a heartbeat (three of them) after which a run counts as crashed."""

DEBOUNCE_SECONDS = 30
"""An event that comes again within this time starts nothing: the same alarm, told twice."""

TRIGGERS: Mapping[str, tuple[str, str]] = {
    "drift": ("reranker.drift.detected", "Start the lifecycle on drift"),
    "growth": ("reranker.data.grown", "Start the lifecycle on growth of the labelled pairs"),
    "quality": ("reranker.quality.fallen", "Start the lifecycle on falling quality"),
}
"""Causes, each with the event that tells of it and the name of its automation."""

NOTICE = "Tell what a run of the lifecycle came to"

_ENDS = ("Completed", "Failed", "TimedOut", "Crashed", "Cancelled")
_LOST_RUNS = "Mark runs without a heartbeat as crashed"

Definition = Mapping[str, Any]


def register_automations(api: httpx.Client, settings: TriggerSettings) -> None:
    """Make the automations of this project, or set those that are there right; others are left alone.

    Whether one is enabled is the user's: the switch in Prefect's UI stays as it is. A trigger that the settings turn
    off has no automation. Where there is no deployment `lifecycle/local`, there is nothing to trigger.
    """
    _put(api, _lost_runs())
    teller = _deployment(api, "notify/local")
    if teller is not None:
        _put(api, _notice(teller))
    deployment = _deployment(api, "lifecycle/local")
    if deployment is None:
        return
    for cause, (event, name) in TRIGGERS.items():
        if getattr(settings, cause):
            _put(api, _trigger(name, event, cause, deployment))
        else:
            _remove(api, _find(api, name))


def _deployment(api: httpx.Client, name: str) -> str | None:
    """Return the id of a deployment, None where it is not registered."""
    answer = api.get(f"/deployments/name/{name}")
    return None if answer.status_code == httpx.codes.NOT_FOUND else str(answer.raise_for_status().json()["id"])


def _notice(deployment: str) -> Definition:
    """The server sees also the end of a run whose process is gone; a run that was superfluous ends as NotStarted."""
    return {
        "name": NOTICE,
        "description": "A lifecycle that ended starts notify/local, which tells what it came to.",
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
            "match_related": {"prefect.resource.role": ["flow"], "prefect.resource.name": ["lifecycle"]},
            "for_each": ["prefect.resource.id"],
            "expect": [f"prefect.flow-run.{state}" for state in _ENDS],
            "threshold": 1,
            "within": 0,
        },
        "actions": [
            {
                "type": "run-deployment",
                "source": "selected",
                "deployment_id": deployment,
                "parameters": {"run": {"__prefect_kind": "jinja", "template": "{{ flow_run.id }}"}},
            }
        ],
    }


def _trigger(name: str, event: str, cause: str, deployment: str) -> Definition:
    return {
        "name": name,
        "description": f"{event} starts lifecycle/local, which ends at once within its cool-down.",
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "expect": [event],
            "threshold": 1,
            "within": DEBOUNCE_SECONDS,
        },
        "actions": [
            {
                "type": "run-deployment",
                "source": "selected",
                "deployment_id": deployment,
                "parameters": {
                    "cause": cause,
                    "detected_at": {"__prefect_kind": "jinja", "template": "{{ event.occurred }}"},
                },
            }
        ],
    }


def _lost_runs() -> Definition:
    """A process that is killed cannot report; without this its run stays RUNNING and holds its concurrency slot."""
    beat = "prefect.flow-run.heartbeat"
    ends = [f"prefect.flow-run.{state}" for state in _ENDS]
    return {
        "name": _LOST_RUNS,
        "description": f"No heartbeat for {HEARTBEAT_PATIENCE} s: the process of the run is gone.",
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
            "for_each": ["prefect.resource.id"],
            "after": [beat],
            "expect": [beat, *ends],
            "threshold": 1,
            "within": HEARTBEAT_PATIENCE,
        },
        "actions": [
            {
                "type": "change-flow-run-state",
                "state": "CRASHED",
                "message": "The process of this run is gone: no heartbeat. Run it again to go on from there.",
            }
        ],
    }


def _put(api: httpx.Client, wanted: Definition) -> None:
    """Make the automation of this name, or correct it; of two that were made at the same time the older one stays."""
    found = _find(api, wanted["name"])
    if not found:
        api.post("/automations/", json={**wanted, "enabled": True}).raise_for_status()
        found = _find(api, wanted["name"])
    first, *doubled = found
    _remove(api, doubled)
    if not _says(first, wanted):
        api.put(f"/automations/{first['id']}", json={**wanted, "enabled": first["enabled"]}).raise_for_status()


def _find(api: httpx.Client, name: str) -> list[dict[str, Any]]:
    """Return the automations of this name, oldest first."""
    answer = api.post("/automations/filter", json={"automations": {"name": {"any_": [name]}}})
    return sorted(answer.raise_for_status().json(), key=lambda found: (found["created"], found["id"]))


def _remove(api: httpx.Client, automations: list[dict[str, Any]]) -> None:
    for automation in automations:
        answer = api.delete(f"/automations/{automation['id']}")
        if answer.status_code != httpx.codes.NOT_FOUND:  # somebody else was faster
            answer.raise_for_status()


def _says(found: Any, wanted: Any) -> bool:
    """Whether everything that is wanted stands in what was found, which has defaults and ids beside it."""
    match wanted:
        case Mapping():
            return isinstance(found, Mapping) and all(_says(found.get(key), wanted[key]) for key in wanted)
        case [Mapping(), *_]:
            return len(found) == len(wanted) and all(map(_says, found, wanted))
        case list():
            return sorted(found) == sorted(wanted)  # Prefect keeps sets of names
        case _:
            return bool(found == wanted)
