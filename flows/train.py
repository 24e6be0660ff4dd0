"""Train a challenger on a snapshot, measure it on the test split and register it."""

import time
from collections.abc import Callable
from typing import cast
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_progress_artifact, update_progress_artifact

from flows.contracts.model import TrainedModel
from flows.evaluation import Evaluation, evaluate
from flows.orchestration.checkpoints import begun, forget, open_checkpoints
from flows.orchestration.finished import kept
from flows.orchestration.retries import HEALING
from flows.registry import Registry, TrainingRun, open_registry
from flows.settings import TrainingSettings, load_settings
from flows.snapshot import find
from flows.training import CrossEncoderScorer, Progress
from flows.training import train as fit

_SHOW_EVERY_SECONDS = 2.0


@flow(name="train", timeout_seconds=6 * 3600)
def train(snapshot: str | None = None, training: TrainingSettings | None = None) -> int:
    """Train a challenger, measure it on the snapshot's test split and register it; return its version.

    One snapshot and one training configuration make one challenger: when it is registered already, its version is
    returned and nothing is trained. A run that died takes up the finished steps, and training its newest checkpoint.

    Args:
        snapshot: Digest of the snapshot, or its beginning; without it, the newest.
        training: Instead of the settings' own training section.
    """
    settings = load_settings()
    training = training or settings.training
    digest = find(settings.folder("snapshots"), snapshot).digest
    known = find_registered(digest, training.digest())
    if known is not None:
        get_run_logger().info("Version %d was trained on this snapshot with these settings already.", known)
        return known
    fitted = kept(train_challenger, "trained", snapshot=digest, configuration=training.digest())
    trained = fitted(digest, training)
    measured = kept(measure_challenger, "measured", "pickle", model=trained.digest, snapshot=digest)(trained)
    version = register_challenger(trained, measured)
    forget(open_checkpoints(settings, _name(digest, training)))
    page = open_registry(settings).page(version)
    if page:
        create_link_artifact(key="challenger", link=page, link_text=f"Version {version} in MLflow")
    return version


@task(persist_result=False, **HEALING)
def find_registered(snapshot: str, configuration: str) -> int | None:
    """Return the version that was trained on this snapshot with these settings, None before the first."""
    versions = open_registry(load_settings()).versions()
    same = (v.version for v in versions if (v.snapshot, v.configuration) == (snapshot, configuration))
    return next(same, None)


@task(**HEALING)
def train_challenger(digest: str, training: TrainingSettings) -> TrainedModel:
    """Train, with live curves in MLflow and progress in the run; start from the champion where there is one.

    After a crash, training and its run in MLflow go on from the newest checkpoint.
    """
    settings = load_settings()
    registry = open_registry(settings)
    snapshot = find(settings.folder("snapshots"), digest)
    start = _start(registry, training)
    output = settings.folder("models") / _name(digest, training)
    checkpoints = open_checkpoints(settings, output.name)
    parameters = {**training.model_dump(), "started_from": start}
    go_on = begun(checkpoints)
    with registry.training_run(snapshot, training.digest(), parameters, go_on=go_on) as run:
        return fit(snapshot, training, start, output, _show(run), checkpoints)


@task
def measure_challenger(trained: TrainedModel) -> Evaluation:
    """Score the candidate lists of the test split, which nothing was chosen on."""
    settings = load_settings()
    test = find(settings.folder("snapshots"), trained.snapshot).table("test")
    return evaluate(test, CrossEncoderScorer(trained.folder))


@task(persist_result=False, **HEALING)
def register_challenger(trained: TrainedModel, measured: Evaluation) -> int:
    """Register the model with its metrics and per-query scores under the alias `challenger`."""
    registry = open_registry(load_settings())
    evidence = {"challenger.parquet": measured.per_query}
    return registry.register(trained, measured.summary.metrics, evidence).version


def _name(snapshot: str, training: TrainingSettings) -> str:
    """Return the name of a challenger's folders."""
    return f"trained-{snapshot[:16]}-{training.digest()}"


def _start(registry: Registry, training: TrainingSettings) -> str:
    champion = registry.champion() if training.from_champion else None
    if champion is None:
        return training.base_model
    return str(registry.fetch(champion.version, load_settings().folder("models")))


def _show(run: TrainingRun) -> Callable[[Progress], None]:
    """Return a callback that brings the training's progress to MLflow's curves and to the Prefect run."""
    artifact = cast(UUID, create_progress_artifact(progress=0.0, key="training", description="preparing"))
    shown = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown
        run.log(progress.metrics(), progress.step)
        if time.monotonic() - shown >= _SHOW_EVERY_SECONDS or progress.step == progress.total:
            shown = time.monotonic()
            update_progress_artifact(artifact, progress=100 * progress.share, description=progress.line())

    return show
