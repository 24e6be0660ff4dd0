"""Who takes over, and who has the last word: real models, registry and Prefect server; the form as the UI answers it.

Version 1 ranks the test split without fault, version 2 by chance.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pyarrow as pa
import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH

from flows.contracts.pair import PAIR_SCHEMA
from flows.contracts.snapshot import Snapshot
from flows.orchestration import asking
from flows.orchestration.turns import turn
from flows.promote import Judgement, promote
from flows.registry import Registry, RegistryError, open_registry
from flows.settings import ApprovalSettings, GateSettings, load_settings
from flows.snapshot import freeze
from flows.store import open_store
from tests.flows.loop import START, append, artifact, events, frozen, lists, opinionated, trained

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ASK = ApprovalSettings(mode="ask", timeout_hours=0.1)
YES = {"name": "Grace", "answer": "yes", "reason": "the failed cases look harmless"}
NO = {"name": "Ada", "answer": "no", "reason": "wait for the holidays"}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CrossEncoder that does not agree with the labels."""
    return opinionated(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("other"), seed=8)


@pytest.fixture
def registry(home: Path, reranker: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Versions 1 and 2, and no champion."""
    monkeypatch.setenv("RERANKER_RETRIEVAL__BI_ENCODER", str(reranker))
    monkeypatch.setattr(asking, "LOOK_EVERY_SECONDS", 0.2)
    load_settings.cache_clear()
    snapshot = frozen(reranker)
    registry = open_registry(load_settings())
    registry.register(trained(reranker, snapshot), {"ndcg@10": 1.0}, card="# The good one\n")
    registry.register(trained(other, snapshot, "ef" * 32), {"ndcg@10": 0.5})
    return registry


def api(path: str, body: dict[str, Any] | None = None) -> Any:
    """POST to the server's API; again where it is busy, as Prefect's own clients do."""

    def ask() -> httpx.Response | None:
        answer = httpx.post(f"{PREFECT_API_URL.value()}{path}", json=body or {}, timeout=60, trust_env=False)
        return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer.raise_for_status()

    return wait_for(ask).json()


def paused(flow_name: str = "promote") -> list[dict[str, Any]]:
    """Return the runs that wait for a person."""
    found: list[dict[str, Any]] = api(
        "/flow_runs/filter",
        {"flows": {"name": {"any_": [flow_name]}}, "flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}},
    )
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
    return found


def form(run: dict[str, Any]) -> dict[str, str]:
    """Return description and schema of the form of a paused run, once they are there."""
    keys = run["state"]["state_details"]["run_input_keyset"]
    base = f"{PREFECT_API_URL.value()}/flow_runs/{run['id']}/input"
    shown = {}
    for part in ("schema", "description"):
        answer = wait_for(lambda part=part: _found(f"{base}/{keys[part]}"))
        shown[part] = answer.json()
    return shown


def _found(url: str) -> httpx.Response | None:
    answer = httpx.get(url, timeout=30, trust_env=False)
    return answer if answer.is_success else None


def fill_in(run: dict[str, Any], answer: dict[str, str]) -> str:
    """Send the form off; return the server's word on it."""
    form(run)
    return str(api(f"/flow_runs/{run['id']}/resume", {"run_input": answer})["status"])


def start(run: Callable[[], Judgement]) -> Future[Judgement]:
    """Run a flow beside the test."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(copy_context().run, run)
    pool.shutdown(wait=False)
    return future


def asked(run: Callable[[], Judgement], *answers: dict[str, str]) -> Judgement:
    """Run a flow, and answer each question it asks."""
    future = start(run)
    for answer in answers:
        waiting = wait_for(lambda: future.done() or paused())
        assert waiting is not True, future.result()
        assert fill_in(waiting[0], answer) == "ACCEPT"
        wait_for(lambda: not paused())
    return future.result(120)


def test_the_better_takes_over_with_all_its_evidence(registry: Registry) -> None:
    judgement = promote(versions=[1, 2])
    assert (judgement.versions, judgement.verdict, judgement.champion) == ([1, 2], "promote", 1)
    assert judgement.before["ndcg@10"] < judgement.after["ndcg@10"] - 0.1
    champion = registry.champion()
    assert champion is not None
    assert champion.approval is not None
    assert (champion.approval.by, champion.approval.approved) == ("gate", True)
    for version in (1, 2):
        kept = registry._client.list_artifacts(registry.version(version).run_id, "evaluation")
        names = {Path(file.path).name for file in kept}
        assert names >= {
            *("decision.json", "decision.md", "incumbent.parquet", "approval.json"),
            *("metrics.json", "predictions.parquet", "failed_cases.csv", "metrics.png", "slices.png"),
        }
    assert [event.resource.id for event in events("reranker.challenger.promoted")] == ["reranker.model.1"]
    assert [event.resource.id for event in events("reranker.challenger.rejected")] == ["reranker.model.2"]
    assert "version 1" in artifact("gate")
    assert promote(versions=[1]).verdict == "champion already"


def test_a_worse_one_is_turned_away_without_a_question(registry: Registry) -> None:
    registry.promote(1)
    judgement = promote(approval=ASK)
    assert (judgement.versions, judgement.champion) == ([2], 1)
    assert judgement.verdict in ("reject", "cannot-tell")
    assert registry.challenger() is None


def test_a_dry_run_moves_nothing(registry: Registry) -> None:
    judgement = promote(versions=[1], gate=GateSettings(mode="dry_run"), approval=ASK)
    assert (judgement.verdict, judgement.champion) == ("promote, dry run", None)
    assert registry.champion() is None
    assert registry.challenger() == registry.version(2)
    assert not events("reranker.challenger.promoted")


def test_a_disabled_gate_lets_anybody_through_and_says_so(registry: Registry) -> None:
    registry.promote(1)
    assert promote(gate=GateSettings(mode="disabled")).champion == 2
    assert "UNJUDGED" in artifact("gate")


def test_challengers_of_different_snapshots_are_not_compared(registry: Registry, reranker: Path) -> None:
    elsewhere = trained(reranker, Snapshot(next(load_settings().folder("snapshots").glob("*/"))))
    registry.register(elsewhere.model_copy(update={"snapshot": "ab" * 32}), {})
    with pytest.raises(RegistryError, match="different snapshots"):
        promote(versions=[1, 3])


def test_a_person_says_yes(registry: Registry) -> None:
    future = start(lambda: promote(versions=[1], approval=ASK))
    (run,) = wait_for(paused)
    shown = form(run)
    for evidence in (
        "# Gate: promote",
        "ndcg@10",
        "Everybody on the same lists",
        "No answer within 0.1 hours means no",
    ):
        assert evidence in str(shown["description"])
    assert set(shown["schema"]["required"]) == {"name", "answer", "reason"}
    for wrong in ({}, YES | {"name": ""}, YES | {"name": "  "}, YES | {"answer": "perhaps"}, {"name": "Grace"}):
        assert fill_in(run, wrong) == "REJECT", wrong
    with turn("reranker-promotion"):  # nobody holds it while a person thinks
        assert registry.champion() is None
    assert fill_in(run, YES) == "ACCEPT"
    assert future.result(120).verdict == "promote"
    approval = registry.version(1).approval
    assert approval is not None
    assert (approval.approved, approval.by, approval.reason) == (True, "Grace", YES["reason"])
    assert "Grace let it through" in artifact("gate")
    assert YES["reason"] in artifact("gate")
    tags = mlflow.MlflowClient(registry.tracking_uri).get_model_version("reranker", "1")
    assert "by Grace on" in tags.description
    kept = registry._client.list_artifacts(registry.version(1).run_id, "evaluation")
    assert "evaluation/approval.json" in {file.path for file in kept}


def test_a_no_stands_until_it_is_asked_for_again(registry: Registry) -> None:
    judgement = asked(lambda: promote(versions=[1], approval=ASK), NO)
    assert (judgement.verdict, judgement.champion) == ("turned down", None)
    assert promote(versions=[1], approval=ASK).verdict == "turned down"
    assert not paused()
    assert asked(lambda: promote(versions=[1], approval=ASK, again=True), YES).champion == 1


def test_no_answer_in_time_means_no_and_the_question_comes_again(registry: Registry) -> None:
    judgement = promote(versions=[1], approval=ApprovalSettings(mode="ask", timeout_hours=2 / 3600))
    assert (judgement.verdict, judgement.champion) == ("nobody answered", None)
    (newest, *_) = api("/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 1})
    assert newest["state"]["name"] == "Completed"
    assert asked(lambda: promote(versions=[1], approval=ASK), YES).champion == 1


def test_a_run_that_is_made_to_go_on_without_an_answer_has_none(registry: Registry) -> None:
    future = start(lambda: promote(versions=[1], approval=ASK))
    (run,) = wait_for(paused)
    api(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "RUNNING"}, "force": True})
    assert future.result(60).verdict == "nobody answered"
    assert registry.champion() is None


def test_small_changes_need_no_question(registry: Registry) -> None:
    large = ApprovalSettings(mode="ask", ask_from_change=0.99)
    assert promote(versions=[1], approval=large).champion == 1
    assert not paused()


def test_another_champion_meanwhile_means_judging_again(registry: Registry) -> None:
    future = start(lambda: promote(versions=[1], approval=ASK))
    (run,) = wait_for(paused)
    registry.promote(2)
    assert fill_in(run, YES) == "ACCEPT"
    (again,) = wait_for(lambda: [r for r in paused() if r["state"]["id"] != run["state"]["id"]])
    assert again["id"] == run["id"]
    assert "version 2" in str(form(again)["description"])
    assert registry.champion() == registry.version(2)
    assert fill_in(again, YES | {"name": "Grace again"}) == "ACCEPT"
    assert future.result(120).champion == 1
    approval = registry.version(1).approval
    assert approval is not None
    assert (approval.by, approval.champion) == ("Grace again", 2)


def test_one_that_was_promoted_and_taken_back_meanwhile_is_not_promoted_by_an_old_question(
    registry: Registry,
) -> None:
    registry.promote(2)
    future = start(lambda: promote(versions=[1], approval=ASK))
    (run,) = wait_for(paused)
    registry.promote(1)
    registry.revert(None, "Ada", "it swears", datetime.now(UTC))
    assert fill_in(run, YES) == "ACCEPT"
    assert future.result(120).verdict == "taken back"
    assert registry.champion() == registry.version(2)


def test_as_a_part_of_another_flow(registry: Registry) -> None:
    @flow
    def whole() -> Judgement:
        return promote(versions=[1], approval=ASK)

    assert asked(whole, YES).champion == 1


def test_killed_while_it_waits_it_asks_again(registry: Registry) -> None:
    code = "import sys; from flows.promote import promote; from flows.settings import ApprovalSettings\n"
    code += f"promote(versions=[1], approval=ApprovalSettings.model_validate_json({ASK.model_dump_json()!r}))"
    environment = os.environ | {
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "PREFECT_LOCAL_STORAGE_PATH": str(PREFECT_LOCAL_STORAGE_PATH.value()),
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT)
    (dead,) = wait_for(lambda: process.poll() is not None or paused())
    form(dead)  # it has asked
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert fill_in(dead, YES) == "ACCEPT"  # too late: nobody is there to hear it
    api(f"/flow_runs/{dead['id']}/set_state", {"state": {"type": "CRASHED"}, "force": True})
    assert registry.champion() is None
    assert asked(lambda: promote(versions=[1], approval=ASK), NO).verdict == "turned down"
    assert registry.champion() is None


def test_queries_that_a_contender_has_learned_judge_nobody(registry: Registry, reranker: Path, other: Path) -> None:
    registry.promote(1)
    asked_again = lists(reranker, range(10), START + timedelta(days=5), agree=True).to_pylist()
    append(
        pa.Table.from_pylist(
            [row | {"document": "pink pink pink pink", "relevance": 0} for row in asked_again[::6]], PAIR_SCHEMA
        )
    )
    settings = load_settings()
    with open_store(settings.store, settings.file("labels.db")) as store:
        newer = freeze(store.scan(), settings.cleaning, settings.folder("snapshots"), {}).snapshot
    again = {row["query"] for row in asked_again}
    assert again <= set(newer.table("test")["query"].to_pylist())
    registry.register(trained(other, newer, "12" * 32), {})
    judgement = promote(versions=[3])
    assert judgement.verdict == "cannot-tell"
    assert "10 queries of the test split judge nobody here" in artifact("gate")
    assert len(registry.evidence(3, "challenger.parquet")) == len(registry.evidence(3, "incumbent.parquet")) == 20
