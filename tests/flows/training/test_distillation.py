"""Distillation through its public face: a student that ranks as its teacher does, resumable and told from others."""

import logging
from pathlib import Path

import numpy as np
import pytest

from flows.contracts.model import weights_digest
from flows.contracts.snapshot import Snapshot
from flows.retrieval.bm25 import Bm25
from flows.settings import StudentSettings, TrainingSettings
from flows.training import (
    CrossEncoderScorer,
    EmptySplitError,
    LocalCheckpoints,
    Progress,
    StudentError,
    distil,
    student_configuration,
)
from flows.training.model import open_model, save_model
from flows.training.student import make_student

SETTINGS = StudentSettings(
    list_size=4, retrieved_documents=2, random_documents=1, epochs=2, batch_size=32, learning_rate=2e-3
)


@pytest.fixture(scope="module")
def teacher(base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CrossEncoder of two layers whose scores spread, and depend on both layers: its weights are large."""
    from transformers import BertForSequenceClassification, set_seed

    model = open_model(base_model, 32)
    model.model.config.initializer_range = 0.3
    set_seed(2)
    model[0].model = BertForSequenceClassification(model.model.config)
    folder = tmp_path_factory.mktemp("teacher") / "model"
    save_model(model, folder)
    return folder


def distance(one: CrossEncoderScorer, two: CrossEncoderScorer, snapshot: Snapshot) -> float:
    """Return how far the differences of scores within the lists of the test split are apart, root mean square."""
    table = snapshot.table("test").to_pandas()
    queries, documents = table["query"].to_list(), table["document"].to_list()
    apart = one.score(queries, documents) - two.score(queries, documents)
    centred = table.assign(apart=apart).groupby("query_id")["apart"].transform(lambda values: values - values.mean())
    return float(np.sqrt((centred**2).mean()))


def test_a_student_is_a_plain_cross_encoder_with_fewer_layers(
    snapshot: Snapshot, settings: TrainingSettings, teacher: Path, tmp_path: Path
) -> None:
    reports: list[Progress] = []
    scored: list[tuple[int, int]] = []
    student = distil(
        snapshot,
        SETTINGS,
        settings,
        1,
        teacher,
        tmp_path / "student",
        Bm25(),
        on_progress=reports.append,
        on_scored=lambda *now: scored.append(now),
    )

    from sentence_transformers import CrossEncoder

    loaded = CrossEncoder(str(student.folder), local_files_only=True)
    assert loaded.model.config.num_hidden_layers == 1
    assert loaded.max_length == student.max_length == 32
    assert student.digest == weights_digest(tmp_path / "student") != weights_digest(teacher)
    assert student.snapshot == snapshot.digest
    assert student.configuration == student_configuration(SETTINGS, settings, weights_digest(teacher), 1)
    assert student.started_from == str(teacher)
    assert student.steps == len(reports) == reports[-1].total
    assert student.validation["ndcg@10"] == max(r.validation for r in reports if r.validation is not None)
    assert scored[-1][0] == scored[-1][1] > snapshot.table("train").num_rows
    assert sorted(path.name for path in tmp_path.iterdir()) == ["student", "taught"]


@pytest.mark.parametrize("loss", ["listwise", "margin-mse", "mse"])
def test_a_student_learns_to_score_as_its_teacher(
    loss: str, snapshot: Snapshot, settings: TrainingSettings, teacher: Path, tmp_path: Path
) -> None:
    student = distil(
        snapshot,
        SETTINGS.model_copy(update={"loss": loss, "epochs": 10}),
        settings,
        1,
        teacher,
        tmp_path / "student",
        Bm25(),
    )
    wise = CrossEncoderScorer(teacher, bf16=False)
    untaught = CrossEncoderScorer(make_student(open_model(teacher), 1), bf16=False)
    taught = CrossEncoderScorer(student.folder, bf16=False)
    assert distance(taught, wise, snapshot) < 0.9 * distance(untaught, wise, snapshot)


def test_the_teacher_is_asked_once_and_the_same_student_comes_again(
    snapshot: Snapshot, settings: TrainingSettings, teacher: Path, tmp_path: Path
) -> None:
    first = distil(snapshot, SETTINGS, settings, 1, teacher, tmp_path / "one", Bm25())
    scored: list[tuple[int, int]] = []
    other = SETTINGS.model_copy(update={"layers": (1, 2), "epochs": 1.0})
    distil(
        snapshot,
        other,
        settings,
        1,
        teacher,
        tmp_path / "two",
        Bm25(),
        on_scored=lambda *now: scored.append(now),
    )
    again = distil(snapshot, SETTINGS, settings, 1, teacher, tmp_path / "three", Bm25())

    assert not scored
    assert again.digest == first.digest


def test_a_student_that_was_interrupted_goes_on_to_the_same_weights(
    snapshot: Snapshot, settings: TrainingSettings, teacher: Path, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"checkpoint_steps": 3})
    unbroken = distil(snapshot, SETTINGS, settings, 1, teacher, tmp_path / "unbroken")

    def cut(progress: Progress) -> None:
        if progress.step == 8:
            raise KeyboardInterrupt

    store = LocalCheckpoints(tmp_path / "checkpoints")
    with pytest.raises(KeyboardInterrupt):
        distil(snapshot, SETTINGS, settings, 1, teacher, tmp_path / "broken", on_progress=cut, checkpoints=store)
    seen: list[Progress] = []
    resumed = distil(
        snapshot,
        SETTINGS,
        settings,
        1,
        teacher,
        tmp_path / "broken",
        on_progress=seen.append,
        checkpoints=store,
    )
    assert seen[0].step == 7
    assert resumed.digest == unbroken.digest
    assert resumed.validation == unbroken.validation


def test_training_ends_when_the_time_is_up(
    snapshot: Snapshot, settings: TrainingSettings, teacher: Path, tmp_path: Path
) -> None:
    endless = SETTINGS.model_copy(update={"epochs": 10_000.0, "max_minutes": 0.01})
    student = distil(snapshot, endless, settings, 1, teacher, tmp_path / "student")
    assert student.seconds < 10


def test_a_depth_that_is_none_leaves_nothing_behind(
    snapshot: Snapshot, settings: TrainingSettings, teacher: Path, tmp_path: Path
) -> None:
    with pytest.raises(StudentError, match="2 layers cannot be made of a teacher of 2"):
        distil(snapshot, SETTINGS, settings, 2, teacher, tmp_path / "student", Bm25())
    assert list(tmp_path.iterdir()) == []


def test_lists_of_one_document_are_nothing_to_learn_from(
    snapshot: Snapshot, settings: TrainingSettings, teacher: Path, tmp_path: Path
) -> None:
    with pytest.raises(EmptySplitError, match="RERANKER_STUDENT__MAX_PAIRS"):
        distil(
            snapshot,
            SETTINGS.model_copy(update={"max_pairs": 2}),
            settings,
            1,
            teacher,
            tmp_path / "student",
        )


def test_a_teacher_that_is_cut_short_says_so(
    snapshot: Snapshot,
    settings: TrainingSettings,
    teacher: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flows.training.teaching._PAIRS_A_CALL", 16)
    hasty = SETTINGS.model_copy(update={"teacher_minutes": 1e-9})
    with caplog.at_level(logging.WARNING):
        distil(snapshot, hasty, settings, 1, teacher, tmp_path / "student", Bm25())
    assert "The teacher had time for 4 of" in caplog.text


def test_a_students_name_follows_from_what_makes_it() -> None:
    training = TrainingSettings()
    name = student_configuration(SETTINGS, training, "teacher", 3)

    assert student_configuration(SETTINGS.model_copy(update={"layers": (3, 2)}), training, "teacher", 3) == name
    others = {
        student_configuration(SETTINGS, training, "teacher", 2),
        student_configuration(SETTINGS, training, "another", 3),
        student_configuration(SETTINGS.model_copy(update={"loss": "mse"}), training, "teacher", 3),
        student_configuration(SETTINGS, training.model_copy(update={"seed": 14}), "teacher", 3),
    }
    assert len(others - {name}) == 4
