"""The watches over growth and quality as flows: a real store, snapshot, registry and champion, real Prefect runs."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.events import Event
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from flows.contracts.model import TrainedModel
from flows.contracts.pair import PAIR_SCHEMA
from flows.contracts.snapshot import Snapshot
from flows.evaluation import evaluate
from flows.registry import Registry, open_registry
from flows.settings import RegistrySettings, load_settings
from flows.snapshot import freeze
from flows.store import open_store
from flows.training import CrossEncoderScorer
from flows.watch_growth import watch_growth
from flows.watch_quality import watch_quality

pytestmark = pytest.mark.slow

WORDS = ["red", "green", "blue", "black", "white", "brown", "grey", "pink"]
TEXTS = [" ".join(words) for words in permutations(WORDS, 4)]
CANDIDATES = 6
START = datetime.now(UTC) - timedelta(days=20)


@pytest.fixture(scope="module")
def _prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server of the tests' own, and a folder for the results that tasks keep."""
    results = tmp_path_factory.mktemp("results")
    with prefect_test_harness(server_startup_timeout=120), temporary_settings({PREFECT_LOCAL_STORAGE_PATH: results}):
        yield


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: its migrations take seconds."""
    folder = tmp_path_factory.mktemp("empty")
    Registry(RegistrySettings(), f"sqlite:///{folder}/mlflow.db").champion()
    return folder / "mlflow.db"


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CrossEncoder with an opinion on every pair, which nobody taught it."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    raw, saved = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("reranker")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (raw / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    BertTokenizerFast(str(raw / "vocab.txt")).save_pretrained(raw)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=1,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(raw)
    CrossEncoder(str(raw), max_length=32, local_files_only=True).save_pretrained(str(saved))
    return saved


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path, _prefect: None) -> Iterator[Path]:
    """A home folder in which nothing is yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RERANKER_HOME", str(tmp_path / "home"))
    load_settings.cache_clear()
    shutil.copy(empty_database, load_settings().file("mlflow.db"))
    EventsWorker.drain_all()
    EventsWorker.set_client_override(AssertingEventsClient)
    AssertingEventsClient.reset()
    yield tmp_path / "home"
    EventsWorker.drain_all()
    EventsWorker.set_client_override(None)
    load_settings.cache_clear()


@pytest.fixture
def champion(home: Path, reranker: Path) -> Snapshot:
    """A champion that ranks its snapshot's test split without fault; returns the snapshot."""
    snapshot = frozen(reranker)
    register(snapshot, reranker)
    return snapshot


def frozen(reranker: Path) -> Snapshot:
    settings = load_settings()
    append(lists(reranker, range(200), START, agree=True))
    with open_store(settings.store, settings.file("labels.db")) as store:
        return freeze(store.scan(), settings.cleaning, settings.folder("snapshots"), {}).snapshot


def register(snapshot: Snapshot, reranker: Path, *, with_record: bool = True) -> None:
    measured = evaluate(snapshot.table("test"), CrossEncoderScorer(reranker))
    assert measured.summary.metrics["ndcg@10"] > 0.95
    trained = TrainedModel(
        folder=reranker,
        digest="cd" * 32,
        snapshot=snapshot.digest,
        configuration="0123456789abcdef",
        started_from="test",
        max_length=32,
        steps=1,
        seconds=1,
        pairs_per_second=1,
        validation={},
    )
    registry = open_registry(load_settings())
    evidence = {"challenger.parquet": measured.per_query} if with_record else None
    registry.promote(registry.register(trained, measured.summary.metrics, evidence).version)


def lists(reranker: Path, numbers: range, start: datetime, *, agree: bool) -> pa.Table:
    """Return lists, one a minute, in which what the reranker holds for the best (or worst) candidate is relevant."""
    rng = np.random.default_rng(numbers.start)
    queries = [TEXTS[n] for n in numbers]
    documents = [[TEXTS[i] for i in rng.choice(len(TEXTS), CANDIDATES, replace=False)] for _ in numbers]
    pairs = [(query, document) for query, found in zip(queries, documents, strict=True) for document in found]
    scores = CrossEncoderScorer(reranker).score(*zip(*pairs, strict=True)).reshape(len(queries), CANDIDATES)
    relevant = scores.argmax(axis=1) if agree else scores.argmin(axis=1)
    rows: list[dict[str, Any]] = [
        {
            "query": queries[n],
            "document": documents[n][c],
            "relevance": int(c == relevant[n]),
            "source": "test",
            "created_at": start + timedelta(minutes=n),
        }
        for n, c in product(range(len(queries)), range(CANDIDATES))
    ]
    return pa.Table.from_pylist(rows, schema=PAIR_SCHEMA)


def append(pairs: pa.Table) -> None:
    settings = load_settings()
    with open_store(settings.store, settings.file("labels.db")) as store:
        store.append(pairs)


def events(name: str) -> list[Event]:
    """Return the events of this name that were emitted."""
    EventsWorker.drain_all()
    return [event for client in AssertingEventsClient.all for event in client.events if event.event == name]


def artifact(key: str) -> str:
    """Return the newest artifact under `key`."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
    return str(found[0].data)


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
