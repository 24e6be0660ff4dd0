"""Checkpoints: going on after a kill as if nothing had been, and never from one that is not right."""

import itertools
import json
import logging
import multiprocessing
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.contracts.model import TrainedModel
from flows.contracts.snapshot import Snapshot
from flows.settings import TrainingSettings
from flows.training import (
    AlreadyTrainingError,
    CheckpointsAwayError,
    LocalCheckpoints,
    Progress,
    UnwritableModelError,
    train,
)

STEPS = 20  # 4 epochs of 5 steps


class Interrupted(Exception):
    """Ends a training half-way, where the process itself lives on."""


def until(step: int, reports: list[Progress] | None = None) -> Callable[[Progress], None]:
    """Return a callback that breaks off after `step`."""

    def on_progress(progress: Progress) -> None:
        if reports is not None:
            reports.append(progress)
        if progress.step == step:
            raise Interrupted

    return on_progress


@pytest.fixture(scope="module")
def often() -> TrainingSettings:
    """A checkpoint after every third step."""
    return TrainingSettings(
        epochs=4,
        batch_size=24,
        list_size=3,
        negatives=2,
        learning_rate=1e-3,
        max_length=32,
        validations=2,
        checkpoint_steps=3,
        checkpoint_minutes=None,
    )


@pytest.fixture
def store(tmp_path: Path) -> LocalCheckpoints:
    return LocalCheckpoints(tmp_path / "checkpoints")


@pytest.fixture(scope="module")
def unbroken(
    snapshot: Snapshot, often: TrainingSettings, base_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> TrainedModel:
    return train(snapshot, often, base_model, tmp_path_factory.mktemp("unbroken") / "model")


@pytest.fixture
def broken_off(
    snapshot: Snapshot, often: TrainingSettings, base_model: Path, tmp_path: Path, store: LocalCheckpoints
) -> Callable[..., TrainedModel]:
    """Break a training off after its checkpoints of steps 3 and 6; return how to go on."""
    with pytest.raises(Interrupted):
        train(snapshot, often, base_model, tmp_path / "model", until(8), store)
    assert store.steps() == [6, 3]
    assert not (tmp_path / "model").exists()

    def go_on(reports: list[Progress], settings: TrainingSettings = often, **changes: Any) -> TrainedModel:
        arguments = {"start_from": base_model, "output": tmp_path / "model"} | changes
        return train(snapshot, settings, on_progress=reports.append, checkpoints=store, **arguments)

    return go_on


def assert_same(one: TrainedModel, other: TrainedModel) -> None:
    """Bit by bit."""
    assert (one.digest, one.steps, one.validation) == (other.digest, other.steps, other.validation)


def test_a_training_that_broke_off_goes_on_to_the_same_weights(
    broken_off: Callable[..., TrainedModel], unbroken: TrainedModel, store: LocalCheckpoints, tmp_path: Path
) -> None:
    reports: list[Progress] = []

    trained = broken_off(reports)

    assert [report.step for report in reports] == list(range(7, unbroken.steps + 1))
    assert reports[-1].share == 1
    assert_same(trained, unbroken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "model"]
    again: list[Progress] = []
    assert_same(broken_off(again), unbroken)  # for whoever could not register it: nothing is trained twice
    assert again == []
    assert store.steps()[0] == unbroken.steps


def test_at_the_end_of_an_epoch_too(
    snapshot: Snapshot,
    often: TrainingSettings,
    base_model: Path,
    tmp_path: Path,
    store: LocalCheckpoints,
    unbroken: TrainedModel,
) -> None:
    at_epochs = often.model_copy(update={"checkpoint_steps": unbroken.steps // 4})
    reports: list[Progress] = []
    with pytest.raises(Interrupted):
        train(snapshot, at_epochs, base_model, tmp_path / "model", until(2 * unbroken.steps // 4 + 1), store)

    trained = train(snapshot, at_epochs, base_model, tmp_path / "model", reports.append, store)

    assert reports[0].step == 2 * unbroken.steps // 4 + 1
    assert_same(trained, unbroken)


def _damage(folder: Path) -> str:
    (folder / "optimizer.pt").write_bytes(b"\0" * 100)
    return "optimizer.pt is damaged"


def _lose(folder: Path) -> str:
    (folder / "watch.pt").unlink()
    return "watch.pt is missing"


def _tear(folder: Path) -> str:
    (folder / "checkpoint.json").unlink()
    return "it is not whole"


def _mislabel(folder: Path) -> str:
    manifest = json.loads((folder / "checkpoint.json").read_text())
    (folder / "checkpoint.json").write_text(json.dumps(manifest | {"step": 5}))
    return "it is that of step 5"


@pytest.mark.parametrize("fault", [_damage, _lose, _tear, _mislabel])
def test_a_checkpoint_with_a_fault_gives_way_to_the_one_before(
    fault: Callable[[Path], str],
    broken_off: Callable[..., TrainedModel],
    store: LocalCheckpoints,
    unbroken: TrainedModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = fault(store.folder / "6")
    reports: list[Progress] = []

    trained = broken_off(reports)

    assert f"The checkpoint of step 6 is not used: {told}" in caplog.text
    assert reports[0].step == 4
    assert_same(trained, unbroken)


@pytest.mark.parametrize("other", ["settings", "start", "code"])
def test_a_checkpoint_of_something_else_is_never_used(
    other: str,
    broken_off: Callable[..., TrainedModel],
    often: TrainingSettings,
    base_model: Path,
    tmp_path: Path,
    store: LocalCheckpoints,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes: dict[str, Any] = {}
    if other == "settings":
        changes["settings"] = often.model_copy(update={"learning_rate": 2e-3})
    elif other == "start":
        changes["start_from"] = tmp_path / "start"
        shutil.copytree(base_model, changes["start_from"])
        _nudge(changes["start_from"])
    else:
        monkeypatch.setattr("flows.training.identity.version", lambda library: "another")
    reports: list[Progress] = []

    broken_off(reports, **changes)

    assert reports[0].step == 1
    for step in (6, 3):
        assert f"The checkpoint of step {step} is not used: it comes from another" in caplog.text


def _nudge(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][0, 0] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_when_things_are_kept_does_not_make_another_challenger(often: TrainingSettings) -> None:
    where = {"checkpoint_steps": None, "checkpoint_minutes": 1.0, "checkpoints": "s3-bucket/models"}
    assert often.model_copy(update=where).digest() == often.digest()
    assert often.model_copy(update={"patience": 1}).digest() != often.digest()


def test_time_before_the_interruption_counts(
    snapshot: Snapshot, often: TrainingSettings, base_model: Path, tmp_path: Path, store: LocalCheckpoints
) -> None:
    limited = often.model_copy(update={"epochs": 1e6, "max_minutes": 4 / 60, "checkpoint_steps": 2})
    before: list[Progress] = []

    def break_off(progress: Progress) -> None:
        before.append(progress)
        if progress.share > 0.5:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(snapshot, limited, base_model, tmp_path / "model", break_off, store)
    kept = next(report for report in before if report.step == store.steps()[0])
    reports: list[Progress] = []

    trained = train(snapshot, limited, base_model, tmp_path / "model", reports.append, store)

    assert reports[0].step == kept.step + 1
    assert reports[0].seconds > kept.seconds
    assert reports[0].share > kept.share
    assert 4 <= trained.seconds < 4 + max(b.seconds - a.seconds for a, b in itertools.pairwise(reports)) + 2
    assert reports[-1].learning_rate < 0.3 * limited.learning_rate


class Broken(LocalCheckpoints):
    """A place that cannot be used."""

    def __init__(self, folder: Path, *methods: str) -> None:
        super().__init__(folder)
        for method in methods:
            setattr(self, method, self._away)

    def _away(self, *_: Any) -> Any:
        raise OSError("No route to S3")


def test_a_checkpoint_that_cannot_be_kept_costs_a_warning(
    snapshot: Snapshot,
    often: TrainingSettings,
    base_model: Path,
    tmp_path: Path,
    unbroken: TrainedModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trained = train(snapshot, often, base_model, tmp_path / "m", checkpoints=Broken(tmp_path / "away", "save"))

    assert "No checkpoint at step 3, training goes on: No route to S3" in caplog.text
    assert_same(trained, unbroken)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_checkpoints_that_cannot_be_read_now_are_worth_another_attempt(
    snapshot: Snapshot, often: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointsAwayError, match="No route to S3"):
        train(snapshot, often, base_model, tmp_path / "m", checkpoints=Broken(tmp_path / "away", "steps"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_file_above(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the system refuse to write files beyond a size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.param, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("no_file_above", [600_000], indirect=True)  # the weights fit, twice as much does not
@pytest.mark.usefixtures("no_file_above")
def test_a_disk_too_full_for_checkpoints_does_not_stop_the_training(
    snapshot: Snapshot,
    often: TrainingSettings,
    base_model: Path,
    tmp_path: Path,
    store: LocalCheckpoints,
    unbroken: TrainedModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trained = train(snapshot, often, base_model, tmp_path / "model", checkpoints=store)

    assert "No checkpoint at step 3, training goes on: " in caplog.text
    assert_same(trained, unbroken)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("no_file_above", [100_000], indirect=True)
@pytest.mark.usefixtures("no_file_above")
def test_a_model_that_does_not_fit_leaves_the_earlier_one(
    snapshot: Snapshot, often: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    earlier = tmp_path / "model" / "model.safetensors"
    earlier.parent.mkdir()
    earlier.write_bytes(b"the model before")

    with pytest.raises(UnwritableModelError, match=r"cannot be written to .*model: .*Make room"):
        train(snapshot, often, base_model, tmp_path / "model")

    assert earlier.read_bytes() == b"the model before"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_two_trainings_of_one_challenger_do_not_mix(
    snapshot: Snapshot, often: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    refused: list[AlreadyTrainingError] = []

    def meanwhile(progress: Progress) -> None:
        if progress.step == 1:
            with pytest.raises(AlreadyTrainingError, match="Another process trains model now") as error:
                train(snapshot, often, base_model, tmp_path / "model")
            refused.append(error.value)

    train(snapshot, often.model_copy(update={"epochs": 1}), base_model, tmp_path / "model", meanwhile)

    assert len(refused) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_patience_ends_a_training_that_gets_no_better(
    snapshot: Snapshot, often: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    ruining = {"learning_rate": 0.3, "validations": 10, "patience": 2, "checkpoint_steps": None}
    reports: list[Progress] = []

    trained = train(snapshot, often.model_copy(update=ruining), base_model, tmp_path / "model", reports.append)

    found = [report.validation for report in reports if report.validation is not None]
    best = found.index(max(found))
    assert len(found) == best + 3 < 10
    assert trained.steps == reports[-1].step == reports[-1].total < STEPS
    assert (reports[-1].share, reports[-1].eta_seconds) == (1, 0)
    assert trained.validation["ndcg@10"] == max(found)


def _train_slowly(
    folder: Path, settings: TrainingSettings, start: Path, output: Path, checkpoints: Path, reached: Any
) -> None:
    def on_progress(progress: Progress) -> None:
        reached.value = progress.step
        time.sleep(0.05)

    logging.disable()
    train(Snapshot(folder), settings, start, output, on_progress, LocalCheckpoints(checkpoints))


@pytest.mark.slow
def test_a_killed_process_is_taken_up_wherever_the_kill_came(
    snapshot: Snapshot,
    often: TrainingSettings,
    base_model: Path,
    tmp_path: Path,
    store: LocalCheckpoints,
    unbroken: TrainedModel,
) -> None:
    """SIGKILL at a random moment after a random step, twice in one training."""
    context = multiprocessing.get_context("spawn")
    for first, last in ((2, 9), (8, 15)):
        reached = context.Value("i", 0)
        arguments = (snapshot.folder, often, base_model, tmp_path / "model", store.folder, reached)
        process = context.Process(target=_train_slowly, args=arguments)
        process.start()
        target = random.randint(first, last)
        while reached.value < target and process.is_alive():
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (tmp_path / "model").exists()
    reports: list[Progress] = []

    trained = train(snapshot, often, base_model, tmp_path / "model", reports.append, store)

    assert reports[0].step > 6
    assert_same(trained, unbroken)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "model"]
