"""Training through its public face: what comes out, what ends it, what it says when it cannot."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flows.contracts.snapshot import Snapshot
from flows.settings import TrainingSettings
from flows.training import (
    CrossEncoderScorer,
    DivergedError,
    EmptySplitError,
    Progress,
    UnreadableModelError,
    train,
)


class PartOf(Snapshot):
    """A snapshot of which one split is emptied."""

    def __init__(self, whole: Snapshot, empty: str) -> None:
        super().__init__(whole.folder)
        self._empty = empty

    def table(self, split: str | None = None) -> pa.Table:  # type: ignore[override]
        table = super().table(split)  # type: ignore[arg-type]
        return table.filter(pc.equal(table["relevance"], 0)) if split == self._empty else table


@pytest.mark.parametrize("loss", ["listwise", "cached-mnrl", "bce"])
def test_every_loss_learns_and_writes_a_model_that_anybody_can_load(
    loss: str, snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    from sentence_transformers import CrossEncoder

    reports: list[Progress] = []
    longer = settings.model_copy(update={"loss": loss, "epochs": 12})

    trained = train(snapshot, longer, base_model, tmp_path / "model", reports.append)

    assert np.mean([r.loss for r in reports[-3:]]) < 0.8 * reports[0].loss
    assert {file.name for file in trained.folder.iterdir()} >= {"model.safetensors", "tokenizer.json", "config.json"}
    assert not list(tmp_path.rglob("*.bin"))
    assert json.loads((trained.folder / "config.json").read_text())["architectures"] == [
        "BertForSequenceClassification"
    ]
    pairs = [("where is the red apple", "the red apple is here"), ("where is the red apple", "the red cloud is a")]
    probabilities = CrossEncoder(str(trained.folder)).predict(pairs)
    scores = CrossEncoderScorer(trained.folder, bf16=False).score(*map(list, zip(*pairs, strict=True)))
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), probabilities, atol=1e-5)


def test_progress_covers_the_whole_training(
    snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    reports: list[Progress] = []

    trained = train(snapshot, settings, base_model, tmp_path / "model", reports.append)

    assert [report.step for report in reports] == list(range(1, trained.steps + 1))
    assert reports[-1].share == 1
    assert reports[-1].total == trained.steps
    assert reports[-1].eta_seconds == 0
    validations = [report.validation for report in reports if report.validation is not None]
    assert len(validations) == settings.validations
    assert trained.validation["ndcg@10"] == max(validations)
    assert reports[-1].metrics().keys() == {"loss", "learning_rate", "pairs_per_second", "validation_ndcg@10"}
    assert f"step {trained.steps} of {trained.steps}" in reports[-1].line()


def test_the_checkpoint_that_validates_best_is_kept(
    snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    """Also when later steps ruin the model: here the learning rate does so after the first validation."""
    from flows.evaluation import evaluate

    trained = train(
        snapshot, settings.model_copy(update={"learning_rate": 0.3, "validations": 5}), base_model, tmp_path / "m"
    )

    again = evaluate(snapshot.table("validation"), CrossEncoderScorer(trained.folder)).summary.metrics
    assert again["ndcg@10"] == pytest.approx(trained.validation["ndcg@10"])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    first = train(snapshot, settings, base_model, tmp_path / "first")
    second = train(snapshot, settings, base_model, tmp_path / "second")
    other = train(snapshot, settings.model_copy(update={"seed": 14}), base_model, tmp_path / "other")

    assert first.digest == second.digest
    assert first.digest != other.digest
    assert first.configuration == second.configuration != other.configuration


def test_a_time_limit_ends_training_in_order(
    snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    reports: list[Progress] = []
    endless = settings.model_copy(update={"epochs": 1e6, "max_minutes": 2 / 60})

    trained = train(snapshot, endless, base_model, tmp_path / "model", reports.append)

    assert trained.seconds < 30
    assert reports[-1].share == 1
    assert reports[-1].validation is not None
    assert reports[-1].learning_rate < 0.2 * settings.learning_rate
    assert CrossEncoderScorer(trained.folder).score(["where is the red apple"], ["here"]).shape == (1,)


def test_a_challenger_can_start_from_a_champion(
    snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    """The head comes along: after one step at a rate of nearly zero the scores are the champion's."""
    champion = train(snapshot, settings, base_model, tmp_path / "champion")
    still = settings.model_copy(update={"learning_rate": 1e-12, "epochs": 0.1})

    challenger = train(snapshot, still, champion.folder, tmp_path / "challenger")

    pairs = ["where is the red apple"] * 3, ["the red apple is here", "the red cloud is a", "a stone"]
    expected = CrossEncoderScorer(champion.folder, bf16=False).score(*pairs)
    np.testing.assert_allclose(CrossEncoderScorer(challenger.folder, bf16=False).score(*pairs), expected, atol=1e-4)
    assert challenger.started_from == str(champion.folder)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_without_relevant_documents_is_refused_in_words(
    split: str, snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(EmptySplitError, match=f"{'training' if split == 'train' else split} split"):
        train(PartOf(snapshot, split), settings, base_model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_rows_that_cannot_be_filled_are_refused_in_words(
    snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    many = settings.model_copy(update={"loss": "cached-mnrl", "negatives": 500})
    with pytest.raises(EmptySplitError, match="RERANKER_TRAINING__NEGATIVES"):
        train(snapshot, many, base_model, tmp_path / "model")


@pytest.mark.parametrize("broken", ["missing", "carried:unknown", "empty", "torn"])
def test_a_model_that_cannot_be_read_is_named(
    broken: str, snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    start: str | Path = broken
    if not broken.startswith("carried"):
        start = tmp_path / broken
    if broken == "empty":
        Path(start).mkdir()
    if broken == "torn":
        import shutil

        shutil.copytree(base_model, start)
        (Path(start) / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(UnreadableModelError, match=broken):
        train(snapshot, settings, start, tmp_path / "model")


def test_more_tokens_than_the_model_takes_are_refused(
    snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnreadableModelError, match="64 tokens at most, not 65"):
        train(snapshot, settings.model_copy(update={"max_length": 65}), base_model, tmp_path / "model")


def test_a_loss_that_is_no_number_ends_training_in_words(
    snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    sick = tmp_path / "sick"
    train(snapshot, settings, base_model, sick)
    weights = load_file(sick / "model.safetensors")
    weights["classifier.bias"][:] = float("nan")
    save_file(weights, sick / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(DivergedError, match=r"nan at step 1\. Lower the learning rate"):
        train(snapshot, settings, sick, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_earlier_model_is_replaced_whole(
    snapshot: Snapshot, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "model"
    output.mkdir()
    (output / "left-over.safetensors").write_bytes(b"from a run that was killed")

    train(snapshot, settings, base_model, output)

    assert not (output / "left-over.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_nothing_to_score_gives_nothing(base_model: Path) -> None:
    assert CrossEncoderScorer(base_model).score([], []).shape == (0,)
