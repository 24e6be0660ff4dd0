"""Several processes train as one."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from flows.contracts.snapshot import Snapshot
from flows.settings import TrainingSettings
from flows.training import LocalCheckpoints, LostProcessError, Progress, train
from flows.training.loading import Share

pytestmark = pytest.mark.slow


@pytest.fixture
def together(settings: TrainingSettings) -> TrainingSettings:
    """Two processes with the half of `settings`' batch each; bce weighs every pair alike, however batches are cut."""
    return settings.model_copy(update={"processes": 2, "batch_size": 4, "epochs": 4, "bf16": False})


def test_two_processes_learn_like_one_with_the_doubled_batch(
    snapshot: Snapshot, together: TrainingSettings, settings: TrainingSettings, base_model: Path, tmp_path: Path
) -> None:
    alone = settings.model_copy(update={"epochs": 4, "bf16": False})
    of_one: list[Progress] = []
    of_two: list[Progress] = []

    one = train(snapshot, alone, base_model, tmp_path / "one", of_one.append)
    two = train(snapshot, together, base_model, tmp_path / "two", of_two.append)

    assert [p.step for p in of_two] == [p.step for p in of_one]
    print([p.loss for p in of_one], [p.loss for p in of_two])
    print(one, two)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
