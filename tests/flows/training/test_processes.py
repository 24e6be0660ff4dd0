"""Several processes train as one."""

from pathlib import Path

import numpy as np
import psutil
import pytest

import flows
from flows.contracts.snapshot import Snapshot
from flows.settings import TrainingSettings
from flows.training import DivergedError, LocalCheckpoints, LostProcessError, Progress, train

pytestmark = pytest.mark.slow


@pytest.fixture
def alone(settings: TrainingSettings) -> TrainingSettings:
    """One process with batches of 8, in full precision and without dropout's noise mattering much."""
    return settings.model_copy(update={"epochs": 4, "bf16": False})


@pytest.fixture
def together(alone: TrainingSettings) -> TrainingSettings:
    """Two with batches of 4."""
    return alone.model_copy(update={"processes": 2, "batch_size": 12})


def test_two_processes_learn_like_one_with_the_doubled_batch(
    snapshot: Snapshot,
    alone: TrainingSettings,
    together: TrainingSettings,
    base_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(Path(flows.__file__).parent))  # as Prefect does; it must hide no library
    of_one: list[Progress] = []
    of_two: list[Progress] = []

    one = train(snapshot, alone, base_model, tmp_path / "one", of_one.append)
    two = train(snapshot, together, base_model, tmp_path / "two", of_two.append)

    assert [report.step for report in of_two] == [report.step for report in of_one]
    differences = np.array([a.loss - b.loss for a, b in zip(of_one, of_two, strict=True)])
    assert np.abs(differences).max() < 0.15 * of_one[0].loss
    assert of_two[-1].loss < of_two[0].loss
    assert abs(one.validation["ndcg@10"] - two.validation["ndcg@10"]) < 0.2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def _ranks() -> list[psutil.Process]:
    """Return the training's processes below this one: those of the launcher that compute."""
    below = psutil.Process().children(recursive=True)
    return sorted((p for p in below if "spawn_main" in " ".join(p.cmdline())), key=lambda p: p.pid)


def test_a_process_that_dies_fails_the_whole_and_leaves_nothing_but_checkpoints(
    snapshot: Snapshot, together: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    checkpointed = together.model_copy(update={"checkpoint_steps": 2, "epochs": 1e4})
    store = LocalCheckpoints(tmp_path / "checkpoints")
    killed: list[int] = []

    def kill_one(progress: Progress) -> None:
        if progress.step == 5:
            victim = _ranks()[-1]
            killed.append(victim.pid)
            victim.kill()

    with pytest.raises(LostProcessError, match=r"Process [12] of the 2 that trained together ended by SIGKILL"):
        train(snapshot, checkpointed, base_model, tmp_path / "model", kill_one, store)

    assert len(killed) == 1
    assert _ranks() == []
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
    reports: list[Progress] = []

    def stop(progress: Progress) -> None:
        reports.append(progress)
        raise KeyboardInterrupt

    begun = store.steps()[0]
    with pytest.raises(KeyboardInterrupt):
        train(snapshot, checkpointed, base_model, tmp_path / "model", stop, store)
    assert reports[0].step == begun + 1
    assert _ranks() == []


def test_the_failure_of_the_processes_is_told_as_that_of_one(
    snapshot: Snapshot, together: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(DivergedError, match=r"inf|nan"):
        train(snapshot, together.model_copy(update={"learning_rate": 1e30}), base_model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_time_limit_ends_all_of_them_together(
    snapshot: Snapshot, together: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    limited = together.model_copy(update={"epochs": 1e6, "max_minutes": 3 / 60})
    reports: list[Progress] = []

    trained = train(snapshot, limited, base_model, tmp_path / "model", reports.append)

    assert reports[-1].share == 1
    assert (tmp_path / "model" / "model.safetensors").is_file()
    assert trained.steps == reports[-1].step
