"""The loop as a user runs it: from the README's commands to an answer over HTTP, and through a crash."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deployments.local.processes import marked
from flows.hosting import LocalProcessHost
from flows.settings import HostSettings
from tests.end_to_end.colours import write_csv
from tests.end_to_end.conftest import Machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def running(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The machine with its stack up and a user's pairs imported."""
    path = tmp_path_factory.mktemp("pairs") / "answers.csv"
    write_csv(path, datetime.now(UTC) - timedelta(days=1))
    columns = ("--column", "query=question", "--column", "document=answer", "--column", "relevance=label")
    printed = machine.reranker("import", str(path), *columns).stdout
    assert "2,001 rows read" in printed
    assert "1 quarantined" in printed
    machine.reranker("up")
    return machine


@pytest.fixture(scope="module")
def survived(running: Machine) -> Machine:
    """The machine after its worker was killed in the middle of training and the lifecycle was started again."""
    running.start_deployment("lifecycle/local", "--param", "cause=person")
    wait_for(lambda: is_training(running), "training to start")
    for process in worker_processes(running.home):
        process.kill()
    running.reranker("up")
    running.start_deployment(
        "lifecycle/local", "--param", "cause=person", "--param", 'approval={"mode": "ask", "timeout_hours": 0.1}'
    )
    wait_for(lambda: bool(waiting(running)), "the question whether it may take over")
    answer = {"name": "Grace", "answer": "yes", "reason": "it ranks the bright ones first"}
    assert running.ask_prefect(f"/flow_runs/{waiting(running)[0]['id']}/resume", {"run_input": answer})
    run = ended(running, "person")
    assert run["state"]["type"] == "COMPLETED", run["state"]
    return running


def test_finished_steps_are_not_repeated_and_nothing_is_registered_twice(survived: Machine) -> None:
    versions = survived.ask_mlflow("/model-versions/search", filter="name='reranker'")["model_versions"]
    assert [version["version"] for version in versions] == ["1"]
    model = survived.ask_mlflow("/registered-models/get", name="reranker")["registered_model"]
    assert {alias["alias"]: alias["version"] for alias in model["aliases"]} == {"champion": "1"}


def test_the_crashed_run_does_not_pretend_to_run(survived: Machine) -> None:
    states = {run["state"]["type"] for run in survived.flow_runs("lifecycle")}
    assert states == {"COMPLETED", "CRASHED"}


def test_who_was_asked_stands_in_the_release_and_with_the_version(survived: Machine) -> None:
    live = LocalProcessHost(
        HostSettings(port=int(survived.environment["RERANKER_HOST__PORT"])), survived.home / "host"
    ).current()
    assert live is not None
    assert live.approved_by == "Grace"
    found = survived.ask_mlflow("/model-versions/get", name="reranker", version="1")["model_version"]
    assert "by Grace on" in found["description"]
    assert json.loads({tag["key"]: tag["value"] for tag in found["tags"]}["reranker.approval"])["by"] == "Grace"


def test_every_end_is_told(survived: Machine) -> None:
    def told() -> set[str]:
        found = survived.ask_prefect("/artifacts/filter", {"artifacts": {"key": {"any_": ["notice"]}}})
        return {end for artifact in found for end in ("Crashed", "promote for version 1") if end in artifact["data"]}

    wait_for(lambda: told() == {"Crashed", "promote for version 1"}, "the notices of both runs")


def test_the_champion_answers_better_than_words_in_common(survived: Machine) -> None:
    documents = [
        "the colour of fruit1 is dull1 dull2",
        "the colour of fruit1 is bright3 bright4",
        "dull1 dull3 dull4",
    ]
    body = {"query": "what about fruit1", "documents": documents, "top_n": 2}
    answer = httpx.post(f"{survived.service}/v1/rerank", json=body, timeout=30).raise_for_status().json()
    assert answer["results"][0]["index"] == 1
    assert len(answer["results"]) == 2


def test_the_command_line_asks_with_documents_of_its_own(survived: Machine) -> None:
    printed = survived.reranker("ask", "what about fruit1 fruit2", "--top", "3").stdout
    assert "reranked by reranker:1" in printed
    assert "the colour of" in printed
    assert "version 1" in survived.reranker("status").stdout


def test_the_same_again_takes_up_what_is_done(survived: Machine) -> None:
    run = survived.run_deployment("lifecycle/local", "--param", "cause=person")
    assert run["state"]["type"] == "COMPLETED"
    assert "train_challenger" not in survived.task_states(run["id"])
    versions = survived.ask_mlflow("/model-versions/search", filter="name='reranker'")["model_versions"]
    assert len(versions) == 1


def test_the_alarm_starts_the_lifecycle_and_the_demo_follows_it(survived: Machine) -> None:
    host = LocalProcessHost(
        HostSettings(port=int(survived.environment["RERANKER_HOST__PORT"])), survived.home / "host"
    )
    host.stop()  # so that there is a release to wait for, with the model that is trained already
    watched = len(survived.flow_runs("watch-drift"))
    demo = survived.start_by_alarm()
    wait_for(lambda: len(survived.flow_runs("watch-drift")) > watched, "the drift watch to begin")
    wait_for(lambda: survived.flow_runs("watch-drift")[0]["state"]["type"] == "COMPLETED", "the drift watch to end")
    earliest = datetime.now(UTC)
    survived.announce("reranker.drift.detected")
    latest = datetime.now(UTC)
    printed, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, printed

    assert "watch-drift/local" in printed
    run = ended(survived, "drift")
    assert run["id"] == printed.split()[-1]
    assert run["state"]["name"] == "Completed", run["state"]
    assert earliest <= datetime.fromisoformat(run["parameters"]["detected_at"]) <= latest
    assert "cause:drift" in run["tags"]
    tags = survived.ask_mlflow("/model-versions/get", name="reranker", version="1")["model_version"]["tags"]
    noted = {tag["key"]: tag["value"] for tag in tags}
    assert noted["reranker.cause"] == "drift"
    live = host.current()
    assert live is not None
    waited = live.seconds_since(datetime.fromisoformat(noted["reranker.detected_at"]))
    assert float(noted["reranker.seconds_to_live"]) == pytest.approx(waited, abs=0.1)


def test_triggers_within_the_cool_down_end_at_once_with_the_reason(survived: Machine) -> None:
    survived.announce("reranker.data.grown", "reranker.quality.fallen")
    for cause in ("growth", "quality"):
        run = ended(survived, cause)
        assert (run["state"]["type"], run["state"]["name"]) == ("COMPLETED", "NotStarted")
        assert "the cool-down lasts 24 hours" in run["state"]["message"]
        assert survived.task_states(run["id"]) == {}
        found = survived.ask_prefect("/artifacts/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
        (shown,) = (artifact for artifact in found if artifact["key"])  # the kept result is one without
        assert shown["key"] == "outcome"
        assert run["state"]["message"] in shown["data"]


def test_every_run_tells_its_story_in_artifacts(survived: Machine) -> None:
    found = survived.ask_prefect("/artifacts/filter", {})
    keys = {artifact["key"] for artifact in found}
    assert {"validation", "data-docs", "snapshot", "training", "gate", "bento", "release", "outcome"} <= keys
    docs = [artifact["data"] for artifact in found if artifact["key"] == "data-docs"]
    pages = [httpx.get(data[data.index("(") + 1 : data.index(")")], timeout=30).raise_for_status() for data in docs]
    for suite in ("labelled-pairs", "snapshot-pairs"):  # what comes in, and what is trained on
        assert any(f"expectations/{suite}.html" in page.text for page in pages)


def test_broken_labels_stop_the_run_before_training(survived: Machine, tmp_path: Path) -> None:
    path = tmp_path / "all-relevant.csv"
    rows = [f"question {number},answer {number} {part},1" for number in range(3000) for part in range(6)]
    path.write_text("\n".join(["query,document,relevance", *rows]), "utf-8")
    survived.reranker("import", str(path))
    run = survived.run_deployment("lifecycle/local", "--param", "cause=person")
    assert run["state"]["type"] == "FAILED"
    assert "ValidationFailed" in run["state"]["message"]
    assert "train_challenger" not in survived.task_states(run["id"])
    failed = {"filter": {"event": {"name": ["reranker.validation.failed"]}}, "limit": 10}
    wait_for(  # the server writes events down in batches, some seconds after they came
        lambda: bool(survived.ask_prefect("/events/filter", failed)["events"]), "the event of the failure"
    )


def test_stop_leaves_nothing_running(survived: Machine) -> None:
    survived.reranker("stop")
    assert not marked(survived.home)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{survived.service}/readyz", timeout=5)


def worker_processes(home: Path) -> list[psutil.Process]:
    """Return the worker of this home and its flow runs."""
    found = []
    for process in marked(home):
        command = process.cmdline()
        if "worker" in command or "prefect.engine" in command or "prefect.flow_engine" in " ".join(command):
            found.append(process)
    assert found
    return found


def is_training(machine: Machine) -> bool:
    """Whether the newest lifecycle trains now; fails when it has ended already."""
    runs = machine.flow_runs("lifecycle")
    if not runs:
        return False
    assert runs[0]["state"]["type"] not in {"COMPLETED", "FAILED", "CRASHED"}, runs[0]["state"]
    return machine.task_states(runs[0]["id"]).get("train_challenger") == "Running"


def waiting(machine: Machine) -> list[dict[str, Any]]:
    """Return the runs that wait for a person and have shown their form."""
    found = [run for run in machine.flow_runs("promote") if run["state"]["type"] == "PAUSED"]
    inputs = [
        machine.ask_prefect(f"/flow_runs/{run['id']}/input/filter", {"prefix": "paused", "limit": 10})
        for run in found
    ]
    return [run for run, shown in zip(found, inputs, strict=True) if len(shown) == 2]


def ended(machine: Machine, cause: str) -> dict[str, Any]:
    """Return the newest lifecycle of that cause once it has ended."""

    def of_cause() -> list[dict[str, Any]]:
        return [run for run in machine.flow_runs("lifecycle") if run["parameters"].get("cause") == cause]

    final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
    wait_for(
        lambda: bool(of_cause()) and of_cause()[0]["state"]["type"] in final, f"the lifecycle because of {cause}"
    )
    return of_cause()[0]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
    """Ask until it is so; fail with `what` was waited for."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.5)
