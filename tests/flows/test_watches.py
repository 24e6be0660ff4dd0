"""The watches over growth and quality as flows: a real store, snapshot, registry and champion, real Prefect runs."""

from datetime import timedelta
from pathlib import Path

import pytest

from flows.contracts.snapshot import Snapshot
from flows.evaluation import evaluate
from flows.registry import open_registry
from flows.settings import load_settings
from flows.training import CrossEncoderScorer
from flows.watch_growth import watch_growth
from flows.watch_quality import watch_quality
from tests.flows.loop import START, append, artifact, events, frozen, lists, trained

pytestmark = pytest.mark.slow


@pytest.fixture
def champion(home: Path, reranker: Path) -> Snapshot:
    """A champion that ranks its snapshot's test split without fault; returns the snapshot."""
    snapshot = frozen(reranker)
    register(snapshot, reranker)
    return snapshot


def register(snapshot: Snapshot, reranker: Path, *, with_record: bool = True) -> None:
    measured = evaluate(snapshot.table("test"), CrossEncoderScorer(reranker))
    assert measured.summary.metrics["ndcg@10"] > 0.95
    registry = open_registry(load_settings())
    evidence = {"challenger.parquet": measured.per_query} if with_record else None
    registry.promote(registry.register(trained(reranker, snapshot), measured.summary.metrics, evidence).version)


def test_without_a_champion_there_is_nothing_to_watch(home: Path) -> None:
    assert watch_growth() == "no champion yet"
    assert watch_quality() == "no champion yet"


def test_without_the_champions_snapshot_both_say_so(champion: Snapshot) -> None:
    champion.folder.rename(champion.folder.with_name("gone"))
    assert watch_growth() == "the champion's snapshot is gone"
    assert watch_quality() == "the champion's snapshot is gone"


def test_without_a_record_nothing_is_compared(home: Path, reranker: Path) -> None:
    register(frozen(reranker), reranker, with_record=False)
    assert watch_quality() == "the champion has no record"


def test_growth_is_announced_from_a_tenth_on(champion: Snapshot, reranker: Path) -> None:
    append(lists(reranker, range(200, 219), START + timedelta(days=1), agree=True))
    assert watch_growth() == "steady"
    assert not events("reranker.data.grown")
    append(lists(reranker, range(219, 220), START + timedelta(days=1), agree=True))
    assert watch_growth() == "grown"
    assert "# Growth: grown" in artifact("growth")
    (event,) = events("reranker.data.grown")
    assert event.resource.id == "reranker.model.1"
    assert {name: event.payload[name] for name in ("pairs", "champion_pairs", "growth_percent")} == {
        "pairs": 1_320,
        "champion_pairs": 1_200,
        "growth_percent": 10.0,
    }


def test_quality_that_holds_is_green(champion: Snapshot, reranker: Path) -> None:
    assert watch_quality() == "not enough data"
    append(lists(reranker, range(300, 420), START + timedelta(days=1), agree=True))
    assert watch_quality() == "green"
    assert "# Quality: green" in artifact("quality")
    assert not events("reranker.quality.fallen")


def test_quality_that_fell_is_announced(champion: Snapshot, reranker: Path) -> None:
    append(lists(reranker, range(300, 420), START + timedelta(days=1), agree=False))
    assert watch_quality() == "red"
    assert "# Quality: red" in artifact("quality")
    (event,) = events("reranker.quality.fallen")
    assert event.resource.id == "reranker.model.1"
    assert event.payload["queries"] == 100
    assert event.payload["fresh_ndcg"] < 0.5 < 0.95 < event.payload["record_ndcg"]
    assert event.payload["p_value"] <= event.payload["threshold"]
