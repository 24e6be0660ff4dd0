"""A loop in small: pairs whose labels a tiny reranker gave, so that it ranks them without fault and others do not."""

from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.events import Event
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker

from flows.contracts.model import TrainedModel
from flows.contracts.pair import PAIR_SCHEMA
from flows.contracts.snapshot import Snapshot
from flows.settings import load_settings
from flows.snapshot import freeze
from flows.store import open_store
from flows.training import CrossEncoderScorer
from tests.tiny_bert import save_bert, save_cross_encoder

WORDS = ["red", "green", "blue", "black", "white", "brown", "grey", "pink"]
TEXTS = [" ".join(words) for words in permutations(WORDS, 4)]
CANDIDATES = 6
START = datetime.now(UTC) - timedelta(days=20)


def opinionated(raw: Path, saved: Path, seed: int, layers: int = 1) -> Path:
    """Save a CrossEncoder with an opinion on every pair, which nobody taught it, to `saved`."""
    save_bert(raw, WORDS, seed, layers=layers, spread=0.5)
    return save_cross_encoder(saved, raw, max_length=32)


def trained(folder: Path, snapshot: Snapshot, digest: str = "cd" * 32) -> TrainedModel:
    """Return the model in `folder` as if it had been trained on the snapshot."""
    return TrainedModel(
        folder=folder,
        digest=digest,
        snapshot=snapshot.digest,
        configuration="0123456789abcdef",
        started_from="test",
        max_length=32,
        steps=1,
        seconds=1,
        pairs_per_second=1,
        validation={},
    )


def frozen(reranker: Path, queries: int = 200) -> Snapshot:
    """Return a snapshot of lists in which what the reranker holds for the best candidate is relevant."""
    settings = load_settings()
    append(lists(reranker, range(queries), START, agree=True))
    with open_store(settings.store, settings.file("labels.db")) as store:
        return freeze(store.scan(), settings.cleaning, settings.folder("snapshots"), {}).snapshot


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
