"""Checkpoints: going on after a kill as if nothing had been, and never from one that is not right."""

import json
import logging
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

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


class Interrupted(Exception):
    """Stands for whatever ends a training half-way, where the process itself goes on."""


def until(step: int, error: type[BaseException] = Interrupted):
    """Return a progress callback that breaks off after `step`."""

    def on_progress(progress: Progress) -> None:
        if progress.step == step:
            raise error

    return on_progress


@pytest.fixture
def often(settings: TrainingSettings) -> TrainingSettings:
    """Two epochs of 7 steps each, a checkpoint after every third."""
    return settings.model_copy(update={"epochs": 4, "checkpoint_steps": 3, "checkpoint_minutes": None})


@pytest.fixture
def store(tmp_path: Path) -> LocalCheckpoints:
    return LocalCheckpoints(tmp_path / "checkpoints")


@pytest.fixture
def unbroken(snapshot: Snapshot, often: TrainingSettings, base_model: Path, tmp_path: Path) -> TrainedModel:
    return train(snapshot, often, base_model, tmp_path / "unbroken")


def same(one: TrainedModel, other: TrainedModel) -> bool:
    """Whether two trainings came to the same, bit by bit."""
    return (one.digest, one.steps, one.validation) == (other.digest, other.steps, other.validation)


def train_to_be_killed(
    folder: Path, settings: TrainingSettings, start: Path, output: Path, checkpoints: Path, reached
) -> None:
    """Run in a process of its own: train, and say how far it is."""

    def on_progress(progress: Progress) -> None:
        reached.value = progress.step
        time.sleep(0.02)

    train(Snapshot(folder), settings, start, output, on_progress, LocalCheckpoints(checkpoints))


@pytest.mark.parametrize("at", [4, 6, 9, 17])
def test_a_training_that_broke_off_goes_on_to_the_same_weights(
    at: int,
    snapshot: Snapshot,
    often: TrainingSettings,
    base_model: Path,
    tmp_path: Path,
    store: LocalCheckpoints,
    unbroken: TrainedModel,
) -> None:
    with pytest.raises(Interrupted):
        train(snapshot, often, base_model, tmp_path / "model", until(at), store)
    assert not (tmp_path / "model").exists()
    reports: list[Progress] = []

    trained = train(snapshot, often, base_model, tmp_path / "model", reports.append, store)

    assert reports[0].step == (at - 1) // 3 * 3 + 1
    assert same(trained, unbroken)
