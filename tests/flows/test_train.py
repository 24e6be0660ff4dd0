"""Training as a flow: challengers by several losses, students of the best, and mined negatives, each once."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.contracts.model import weights_digest
from flows.registry import open_registry
from flows.settings import MiningSettings, StudentSettings, TrainingSettings, load_settings
from flows.train import train
from tests.flows.loop import frozen, opinionated
from tests.flows.retrieval.tiny import tiny_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return opinionated(tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("base"), seed=3, layers=2)


@pytest.fixture
def training(two_layers: Path) -> TrainingSettings:
    return TrainingSettings(base_model=str(two_layers), epochs=0.5, max_length=32, validations=1)


def layers(version: int) -> int:
    settings = load_settings()
    folder = open_registry(settings).fetch(version, settings.folder("models"))
    found: int = json.loads((folder / "config.json").read_text("utf-8"))["num_hidden_layers"]
    return found


def test_rivals_and_a_student_are_made_once_each(home: Path, reranker: Path, training: TrainingSettings) -> None:
    snapshot = frozen(reranker, queries=60)
    both = training.model_copy(update={"rivals": ("bce",)})
    student = StudentSettings(layers=(1,), epochs=0.5)
    versions = train(snapshot.digest, both, student)
    assert versions == [1, 2, 3]
    assert [layers(version) for version in versions] == [2, 2, 1]
    registry = open_registry(load_settings())
    challengers = [registry.version(version) for version in versions]
    assert len({version.configuration for version in challengers}) == 3
    best = max(challengers[:2], key=lambda version: version.validation["ndcg@10"])
    assert registry.about(3).started_from == f"models:/reranker/{best.version}"

    assert train(snapshot.digest, both, student) == versions
    assert train(snapshot.digest, training) == [1]
    assert len(registry.versions()) == 3
    assert not list((home / "checkpoints").glob("*/*"))


def test_mined_negatives_come_from_the_training_split(home: Path, reranker: Path, training: TrainingSettings) -> None:
    snapshot = frozen(reranker, queries=60)
    mining = MiningSettings(when="always", bi_encoder=tiny_weights())
    recipe = training.model_copy(update={"mining": mining})
    assert train(snapshot.digest, recipe) == [1]
    (file,) = (home / "negatives").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])  # a broken disk; other settings of the training want the same file
    assert train(snapshot.digest, recipe.model_copy(update={"seed": 5})) == [2]
    assert file.read_bytes() == whole
    found = pq.read_table(file).to_pandas()
    learned = snapshot.table("train").to_pandas()
    mined = found[found["kind"] != "labelled"]
    assert len(mined)
    assert set(mined["document_id"]) <= set(learned["document_id"])
    assert set(mined["query_id"]) <= set(learned["query_id"])
    relevant = learned[learned["relevance"] == 1]
    assert not set(zip(mined["query_id"], mined["document_id"], strict=True)) & set(
        zip(relevant["query_id"], relevant["document_id"], strict=True)
    )


def test_a_kept_model_whose_files_were_altered_is_trained_again(
    home: Path, reranker: Path, training: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = frozen(reranker, queries=60)
    training = training.model_copy(update={"seed": 7})  # no other test has trained this
    assert train(snapshot.digest, training) == [1]
    right = open_registry(load_settings()).version(1).digest
    (trained,) = (home / "models").glob("trained-*")
    assert weights_digest(trained) == right
    monkeypatch.setenv("RERANKER_REGISTRY__MODEL_NAME", "another")  # it knows of no version, and the result is kept
    load_settings.cache_clear()
    (trained / "model.safetensors").write_bytes(b"torn")
    assert train(snapshot.digest, training) == [1]
    assert weights_digest(trained) == right == open_registry(load_settings()).version(1).digest
