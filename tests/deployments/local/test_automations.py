"""Automations on a real Prefect server: made once, kept right, the user's switch left alone."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from deployments.local.automations import NOTICE, TRIGGERS, register_automations
from flows.settings import TriggerSettings

pytestmark = pytest.mark.slow

LOST = "Mark runs without a heartbeat as crashed"
DRIFT = TRIGGERS["drift"][1]
EVERYTHING = {LOST, *(name for _, name in TRIGGERS.values())}


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    with (
        prefect_test_harness(server_startup_timeout=120),
        httpx.Client(base_url=PREFECT_API_URL.value() or "", timeout=30, trust_env=False) as api,
    ):
        yield api


@pytest.fixture
def api(server: httpx.Client) -> httpx.Client:
    """The server without automations and deployments."""
    for kind in ("automations", "deployments"):
        for found in server.post(f"/{kind}/filter", json={}).raise_for_status().json():
            server.delete(f"/{kind}/{found['id']}").raise_for_status()
    return server


@pytest.fixture
def deployment(api: httpx.Client) -> str:
    return deploy(api)


def deploy(api: httpx.Client, name: str = "lifecycle") -> str:
    flow = api.post("/flows/", json={"name": name}).raise_for_status().json()["id"]
    made = api.post("/deployments/", json={"name": "local", "flow_id": flow, "version": str(uuid4())})
    return str(made.raise_for_status().json()["id"])


def automations(api: httpx.Client) -> dict[str, dict[str, Any]]:
    found = api.post("/automations/filter", json={}).raise_for_status().json()
    by_name = {automation["name"]: automation for automation in found}
    assert len(by_name) == len(found), "doubled"
    return by_name


def test_registering_again_changes_nothing(api: httpx.Client, deployment: str) -> None:
    register_automations(api, TriggerSettings())
    first = automations(api)
    register_automations(api, TriggerSettings())
    assert automations(api) == first
    assert set(first) == EVERYTHING
    for cause, (event, name) in TRIGGERS.items():
        assert first[name]["enabled"]
        assert first[name]["trigger"]["expect"] == [event]
        (action,) = first[name]["actions"]
        assert action["deployment_id"] == deployment
        assert action["parameters"]["cause"] == cause


def test_a_switch_that_the_user_turned_stays(api: httpx.Client, deployment: str) -> None:
    register_automations(api, TriggerSettings())
    automation = automations(api)[DRIFT]["id"]
    api.patch(f"/automations/{automation}", json={"enabled": False}).raise_for_status()
    api.delete(f"/deployments/{deployment}").raise_for_status()
    anew = deploy(api)
    register_automations(api, TriggerSettings())
    found = automations(api)[DRIFT]
    assert (found["id"], found["enabled"]) == (automation, False)
    assert found["actions"][0]["deployment_id"] == anew


def test_what_was_changed_is_set_right(api: httpx.Client, deployment: str) -> None:
    register_automations(api, TriggerSettings())
    right = automations(api)[DRIFT]
    wrong = {key: right[key] for key in ("name", "description", "enabled", "trigger", "actions")}
    wrong["trigger"] = {**right["trigger"], "threshold": 5}
    api.put(f"/automations/{right['id']}", json=wrong).raise_for_status()
    assert automations(api)[DRIFT]["trigger"]["threshold"] == 5
    register_automations(api, TriggerSettings())
    assert automations(api)[DRIFT]["trigger"]["threshold"] == 1


def test_what_was_doubled_becomes_one_and_the_users_own_stay(api: httpx.Client, deployment: str) -> None:
    register_automations(api, TriggerSettings())
    first = automations(api)[DRIFT]
    body = {key: first[key] for key in ("name", "description", "enabled", "trigger", "actions")}
    api.post("/automations/", json=body).raise_for_status()
    api.post("/automations/", json={**body, "name": "mine"}).raise_for_status()
    register_automations(api, TriggerSettings())
    assert automations(api)[DRIFT]["id"] == first["id"]
    assert set(automations(api)) == {*EVERYTHING, "mine"}


def test_a_trigger_that_is_turned_off_is_taken_away_and_comes_back(api: httpx.Client, deployment: str) -> None:
    register_automations(api, TriggerSettings())
    register_automations(api, TriggerSettings(drift=False))
    assert set(automations(api)) == EVERYTHING - {DRIFT}
    register_automations(api, TriggerSettings())
    assert set(automations(api)) == EVERYTHING


def test_without_the_lifecycle_there_is_nothing_to_trigger(api: httpx.Client) -> None:
    register_automations(api, TriggerSettings())
    assert set(automations(api)) == {LOST}


def test_the_end_of_a_lifecycle_starts_the_notice_of_it(api: httpx.Client) -> None:
    deployment = deploy(api, "notify")
    register_automations(api, TriggerSettings())
    assert set(automations(api)) == {LOST, NOTICE}
    for end, told in (("Completed", True), ("NotStarted", False), ("Crashed", True)):
        run = ended(api, "lifecycle", end)
        assert told_of(api, deployment, run, patience=20 if told else 3) is told, end
    assert not told_of(api, deployment, ended(api, "train", "Failed"), patience=3)


def ended(api: httpx.Client, name: str, end: str) -> str:
    """Let a run of that flow end so; return its id."""
    flow = api.post("/flows/", json={"name": name}).raise_for_status().json()["id"]
    run = str(api.post("/flow_runs/", json={"flow_id": flow}).raise_for_status().json()["id"])
    kind = "COMPLETED" if end == "NotStarted" else end.upper()
    for state in ({"type": "RUNNING"}, {"type": kind, "name": end}):
        api.post(f"/flow_runs/{run}/set_state", json={"state": state, "force": True}).raise_for_status()
    return run


def told_of(api: httpx.Client, deployment: str, run: str, patience: float) -> bool:
    """Whether the deployment was started with that run as its parameter."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        body = {"deployments": {"id": {"any_": [deployment]}}}
        found = api.post("/flow_runs/filter", json=body).raise_for_status().json()
        if any(started["parameters"] == {"run": run} for started in found):
            return True
        time.sleep(0.3)
    return False
