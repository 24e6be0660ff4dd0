"""Train a challenger on a snapshot, measure it on the test split and register it."""

import time
from collections.abc import Callable
from typing import cast
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_progress_artifact, update_progress_artifact

from flows.contracts.model import TrainedModel
from flows.evaluation import Evaluation, evaluate, slice_means, slices
from flows.orchestration.finished import kept
from flows.orchestration.retries import HEALING
from flows.registry import Registry, TrainingRun, model_card, open_registry
from flows.settings import TrainingSettings, load_settings
from flows.snapshot import find
from flows.training import CrossEncoderScorer, Progress
from flows.training import train as fit
from flows.weights import declared_licence

_SHOW_EVERY_SECONDS = 2.0


@flow(name="train", timeout_seconds=6 * 3600)
def train(snapshot: str | None = None, training: TrainingSettings | None = None) -> int:
    """Train a challenger, measure it on the snapshot's test split and register it; return its version.

    One snapshot and one training configuration make one challenger: when it is registered already, its version is
    returned and nothing is trained. A run that died takes up the finished steps.

    Args:
        snapshot: Digest of the snapshot, or its beginning; without it, the newest.
        training: Instead of the settings' own training section.
    """
    settings = load_settings()
    training = training or settings.training
    digest = find(settings.folder("snapshots"), snapshot).digest
    known = find_registered(digest, training)
    if known is not None:
        get_run_logger().info("Version %d was trained on this snapshot with these settings already.", known)
        return known
    start = find_start(training)
    fitted = kept(train_challenger, "trained", snapshot=digest, configuration=training.digest(), start=start)
    trained = fitted(digest, training)
    measured = kept(measure_challenger, "scored", "pickle", model=trained.digest, snapshot=digest)(trained)
    version = register_challenger(trained, measured, training)
    page = open_registry(settings).page(version)
    if page:
        create_link_artifact(key="challenger", link=page, link_text=f"Version {version} in MLflow")
    return version


@task(persist_result=False, **HEALING)
def find_registered(snapshot: str, training: TrainingSettings) -> int | None:
    """Return the version that was trained on this snapshot with these settings, None before the first.

    One that was taken back counts as long as it would come out the same again: until there is another champion to
    start from than the one it started from.
    """
    registry = open_registry(load_settings())
    champion = registry.champion() if training.from_champion else None
    for version in registry.versions():
        same = (version.snapshot, version.configuration) == (snapshot, training.digest())
        elsewhere = champion is not None and version.parent != champion.version
        if same and not (version.taken_back and elsewhere):
            return version.version
    return None


@task(persist_result=False, **HEALING)
def find_start(training: TrainingSettings) -> str:
    """Return what training starts from: after a revert, that is another champion than before."""
    champion = open_registry(load_settings()).champion() if training.from_champion else None
    return f"version-{champion.version}" if champion else "base-model"


@task(**HEALING)
def train_challenger(digest: str, training: TrainingSettings) -> TrainedModel:
    """Train, with live curves in MLflow and progress in the run; start from the champion where there is one."""
    settings = load_settings()
    registry = open_registry(settings)
    snapshot = find(settings.folder("snapshots"), digest)
    start = _start(registry, training)
    output = settings.folder("models") / f"trained-{digest[:16]}-{training.digest()}"
    with registry.training_run(snapshot, training.digest(), {**training.model_dump(), "started_from": start}) as run:
        return fit(snapshot, training, start, output, _show(run))


@task
def measure_challenger(trained: TrainedModel) -> Evaluation:
    """Score the candidate lists of the test split, which nothing was chosen on."""
    settings = load_settings()
    test = find(settings.folder("snapshots"), trained.snapshot).table("test")
    return evaluate(test, CrossEncoderScorer(trained.folder))


@task(persist_result=False, **HEALING)
def register_challenger(trained: TrainedModel, measured: Evaluation, training: TrainingSettings) -> int:
    """Register the model with metrics, per-query scores, lineage and card under the alias `challenger`."""
    settings = load_settings()
    registry = open_registry(settings)
    snapshot = find(settings.folder("snapshots"), trained.snapshot)
    metrics = measured.summary.metrics
    parts = slice_means(measured.per_query, slices(snapshot.table("test")))
    by_slice = {
        ", ".join(map(str, part)): {str(name): float(mean) for name, mean in row.items()}
        for part, row in zip(parts.index, parts.to_dict("records"), strict=True)
    }
    lineage = registry.lineage(trained, training.model_dump(mode="json"))
    licence = declared_licence(lineage.base_model)
    card = model_card(trained, lineage, snapshot.manifest, metrics, by_slice, licence)
    evidence = {"challenger.parquet": measured.per_query}
    return registry.register(trained, metrics, evidence, lineage, card).version


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
