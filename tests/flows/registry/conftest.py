import hashlib
import shutil
from datetime import UTC, datetime

import pytest

from flows.contracts.model import TrainedModel
from flows.contracts.snapshot import CleaningCounts, Snapshot, SnapshotManifest, SplitCounts
from flows.registry import Registry
from flows.settings import RegistrySettings
from tests.tiny_bert import save_bert, save_cross_encoder

SNAPSHOT = "ab" * 32
WORDS = "how do i sort a list of numbers array matrix return sum mean plot file open the python"


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory):
    """A real CrossEncoder, far too small to be good: random BERT weights and a vocabulary of a few words."""
    raw = save_bert(tmp_path_factory.mktemp("raw"), WORDS.split(), seed=7)
    return save_cross_encoder(tmp_path_factory.mktemp("trained"), raw, max_length=32)


@pytest.fixture(scope="session")
def train(cross_encoder):
    """Make trained models in a folder: seed "b" stands for other weights than "a"."""

    def make(home, seed="a", **changes):
        folder = home / f"trained-{seed}"
        if not folder.exists():
            shutil.copytree(cross_encoder, folder)
        values = {
            "folder": folder,
            "digest": hashlib.sha256(seed.encode()).hexdigest(),
            "snapshot": SNAPSHOT,
            "configuration": "0123456789abcdef",
            "started_from": "carried:minilm",
            "max_length": 32,
            "steps": 10,
            "seconds": 1.5,
            "pairs_per_second": 20.0,
            "validation": {"ndcg@10": 0.5},
        }
        return TrainedModel(**values | changes)

    return make


@pytest.fixture
def trained(train, tmp_path):
    """The same in the test's own folder: trained("b")."""
    return lambda seed="a", **changes: train(tmp_path, seed, **changes)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """MLflow's tables, made once: its migrations take seconds."""
    folder = tmp_path_factory.mktemp("empty")
    Registry(RegistrySettings(), f"sqlite:///{folder}/mlflow.db").champion()
    return folder / "mlflow.db"


@pytest.fixture
def uri(empty_database, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(empty_database, home / "mlflow.db")
    return f"sqlite:///{home}/mlflow.db"


@pytest.fixture
def registry(uri):
    return Registry(RegistrySettings(), uri)


@pytest.fixture
def snapshot(tmp_path):
    """A frozen snapshot as far as its manifest goes."""
    folder = tmp_path / "snapshots" / SNAPSHOT
    folder.mkdir(parents=True)
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    counts = SplitCounts(queries=1, pairs=4, positives=1)
    manifest = SnapshotManifest(
        digest=SNAPSHOT,
        created_at=moment,
        first_pair_at=moment,
        last_pair_at=moment,
        splits={"train": counts, "validation": counts, "test": counts},
        sources={"numpy": 12},
        cleaning=CleaningCounts(read=12, kept=12, dropped={}, dropped_queries={}),
        settings={"test_share": 0.15},
        lineage={"store": "sqlite"},
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json(), "utf-8")
    return Snapshot(folder)
