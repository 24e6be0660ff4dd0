"""Automations on a real Prefect server: made once, kept right, the user's switch left alone."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from deployments.local.automations import TRIGGERS, register_automations
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


def deploy(api: httpx.Client) -> str:
    flow = api.post("/flows/", json={"name": "lifecycle"}).raise_for_status().json()["id"]
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
