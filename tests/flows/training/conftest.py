"""A tiny random BERT and a tiny snapshot, built here so that training takes seconds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from flows.contracts.pair import PAIR_SCHEMA
from flows.contracts.snapshot import Snapshot
from flows.settings import CleaningSettings, TrainingSettings
from flows.snapshot import freeze
from tests.tiny_bert import save_bert

COLOURS = ["red", "green", "blue", "white", "black", "brown"]
THINGS = ["apple", "house", "river", "stone", "cloud", "horse", "table", "paper"]
LAST = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder without a classification head: 2 layers, 64 wide, whole words as tokens."""
    words = ["where", "is", "the", "a", "here", *COLOURS, *THINGS]
    return save_bert(tmp_path_factory.mktemp("base") / "tiny", words, seed=1, width=64, outputs=None)


def rows(queries: int = 48) -> list[dict[str, object]]:
    """Ask for things of a colour; the relevant document says that it is here, which even a tiny model can learn."""
    found: list[dict[str, object]] = []
    for i in range(queries):
        colour, thing = COLOURS[i % len(COLOURS)], THINGS[i // len(COLOURS) % len(THINGS)]
        others = [THINGS[(i // len(COLOURS) + k) % len(THINGS)] for k in range(1, 5)]
        at = LAST - timedelta(hours=i)
        query = f"where is the {colour} {thing}"
        found += [
            {
                "query": query,
                "document": f"the {colour} {name} is {'here' if name == thing else 'a'}",
                "relevance": int(name == thing),
                "source": "tests",
                "created_at": at,
            }
            for name in [thing, *others]
        ]
    return found


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    table = pa.Table.from_pylist(rows(), schema=PAIR_SCHEMA)
    cleaning = CleaningSettings(validation_share=0.2)
    return freeze(table.to_batches(), cleaning, tmp_path_factory.mktemp("snapshots"), {}, now=LAST).snapshot


@pytest.fixture
def settings() -> TrainingSettings:
    return TrainingSettings(
        epochs=1,
        batch_size=24,
        list_size=3,
        negatives=2,
        in_batch_negatives=1,
        learning_rate=1e-3,
        max_length=32,
        validations=2,
    )
