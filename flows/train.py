"""Train challengers on a snapshot, measure them on the test split and register them."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ParamSpec, cast
from uuid import UUID

import pyarrow.parquet as pq
from prefect import Task, flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_progress_artifact, update_progress_artifact

from flows.contracts.model import ModelVersion, TrainedModel
from flows.contracts.negatives import is_whole
from flows.evaluation import Evaluation, evaluate, slice_means, slices
from flows.mining import is_needed, mine
from flows.orchestration.checkpoints import begun, forget, open_checkpoints
from flows.orchestration.finished import kept
from flows.orchestration.retries import HEALING
from flows.orchestration.turns import turn
from flows.registry import Registry, TrainingRun, model_card, open_registry
from flows.retrieval import open_retriever
from flows.settings import StudentSettings, TrainingSettings, load_settings
from flows.snapshot import find
from flows.training import CrossEncoderScorer, Progress, distil, newest, student_configuration
from flows.training import train as fit
from flows.weights import declared_licence

P = ParamSpec("P")

_SHOW_EVERY_SECONDS = 2.0


@flow(name="train", timeout_seconds=6 * 3600)
def train(
    snapshot: str | None = None, training: TrainingSettings | None = None, student: StudentSettings | None = None
) -> list[int]:
    """Train challengers, measure them on the snapshot's test split and register them; return their versions.

    There is one for each loss that the settings name, all from the same start and negatives, and a student of the
    one that validates best for each depth that they name. One snapshot and one configuration make one challenger:
    what is registered already is not trained again. A run that died takes up the finished steps, and training its
    newest checkpoint.

    Args:
        snapshot: Digest of the snapshot, or its beginning; without it, the newest.
        training: Instead of the settings' own training section.
        student: Instead of the settings' own student section.
    """
    settings = load_settings()
    training, student = training or settings.training, student or settings.student
    digest = find(settings.folder("snapshots"), snapshot).digest
    versions = [train_and_register(digest, recipe) for recipe in training.recipes()]
    if student.layers:
        teacher = find_teacher(versions)
        versions += [distil_and_register(digest, training, student, layers, teacher) for layers in student.layers]
    for version in versions:
        page = open_registry(settings).page(version)
        if page:
            create_link_artifact(key="challenger", link=page, link_text=f"Version {version} in MLflow")
    return versions


def train_and_register(digest: str, training: TrainingSettings) -> int:
    """Return the version of one recipe, trained unless it is there."""
    known = find_registered(digest, training.digest(), training.from_champion)
    if known is not None:
        get_run_logger().info("Version %d was trained on this snapshot with these settings already.", known)
        return known
    negatives = mine_negatives(digest, training)
    start = find_start(training)
    fitted = kept(train_challenger, "trained", snapshot=digest, configuration=training.digest(), start=start)
    trained = made(fitted, digest, training, negatives)
    return measure_and_register(trained, training.model_dump(mode="json"))


def distil_and_register(
    digest: str, training: TrainingSettings, student: StudentSettings, layers: int, teacher: ModelVersion
) -> int:
    """Return the version of a student of so many layers, distilled unless it is there."""
    configuration = student_configuration(student, training, teacher.digest, layers)
    known = find_registered(digest, configuration, from_champion=False)
    if known is not None:
        get_run_logger().info("Version %d is that student already.", known)
        return known
    fitted = kept(distil_student, "trained", snapshot=digest, configuration=configuration)
    known_of_it = {**training.model_dump(mode="json"), "student": student.model_dump(mode="json"), "layers": layers}
    trained = made(fitted, digest, training, student, layers, teacher)
    return measure_and_register(trained, known_of_it, teacher.version)


def made(fitted: Task[P, TrainedModel], *arguments: P.args, **named: P.kwargs) -> TrainedModel:
    """Return what the task trains, or trained in an earlier run if its files are still what they were."""
    trained = fitted(*arguments, **named)
    if trained.is_whole:
        return trained
    get_run_logger().warning("An earlier run trained this, and its files are gone or altered: training again.")
    return fitted.with_options(refresh_cache=True)(*arguments, **named)


def measure_and_register(trained: TrainedModel, recipe: Mapping[str, Any], teacher: int | None = None) -> int:
    """Measure a trained model on the test split, register it, and forget its checkpoints."""
    measure = kept(measure_challenger, "scored", "pickle", model=trained.digest, snapshot=trained.snapshot)
    version = register_challenger(trained, measure(trained), recipe, teacher)
    forget(open_checkpoints(load_settings(), trained.folder.name))
    return version


@task(persist_result=False, **HEALING)
def find_registered(snapshot: str, configuration: str, from_champion: bool) -> int | None:
    """Return the version that was trained on this snapshot with these settings, None before the first.

    One that was taken back counts as long as it would come out the same again: until there is another champion to
    start from than the one it started from.
    """
    registry = open_registry(load_settings())
    champion = registry.champion() if from_champion else None
    for version in registry.versions():
        same = (version.snapshot, version.configuration) == (snapshot, configuration)
        elsewhere = champion is not None and version.parent not in (champion.version, champion.teacher)
        if same and not (version.taken_back and elsewhere):
            return version.version
    return None


@task(persist_result=False, **HEALING)
def find_start(training: TrainingSettings) -> str:
    """Return what training starts from: after a revert, that is another champion than before."""
    start = _start_version(open_registry(load_settings()), training)
    return f"version-{start.digest[:16]}" if start else "base-model"


@task(persist_result=False, **HEALING)
def find_teacher(versions: list[int]) -> ModelVersion:
    """Return the version that students learn from: the one with the best NDCG@10 on the validation split."""
    registry = open_registry(load_settings())
    found = [registry.version(version) for version in versions]
    standing = [version for version in found if version.taken_back is None] or found
    return max(standing, key=lambda version: version.validation.get("ndcg@10", 0.0))


@task(persist_result=False, **HEALING)
def mine_negatives(digest: str, training: TrainingSettings) -> Path | None:
    """Return the file with documents that queries with few negatives are given beyond; None where none is needed."""
    settings = load_settings()
    table = newest(find(settings.folder("snapshots"), digest).table("train"), training.window_days)
    if not is_needed(table, training.negatives, training.mining):
        return None
    window = "" if training.window_days is None else f"-{training.window_days!r}-days"
    file = settings.file("negatives", f"{digest[:16]}-{training.mining.digest()}{window}.parquet")
    dense = settings.retrieval.model_copy(update={"kind": "bi-encoder", "bi_encoder": training.mining.bi_encoder})
    show = _show_counts("mining")
    with turn("reranker-mining"):
        if not is_whole(file):
            with closing(open_retriever(dense, settings.folder("qdrant"), "training")) as retriever:
                found = mine(table, retriever, training.mining, show)
            partial = file.with_suffix(".partial")
            pq.write_table(found, partial)
            partial.replace(file)
    return file


@task(**HEALING)
def train_challenger(digest: str, training: TrainingSettings, negatives: Path | None) -> TrainedModel:
    """Train, with live curves in MLflow and progress in the run; start from the champion where there is one.

    After a crash, training and its run in MLflow go on from the newest checkpoint.
    """
    settings = load_settings()
    registry = open_registry(settings)
    snapshot = find(settings.folder("snapshots"), digest)
    start = _start(registry, training)
    output = settings.folder("models") / f"trained-{digest[:16]}-{training.digest()}"
    checkpoints = open_checkpoints(settings, output.name)
    parameters = {**training.model_dump(), "started_from": start}
    with registry.training_run(snapshot, training.digest(), parameters, go_on=begun(checkpoints)) as run:
        return fit(snapshot, training, start, output, _show(run), checkpoints, negatives)


@task(**HEALING)
def distil_student(
    digest: str, training: TrainingSettings, student: StudentSettings, layers: int, teacher: ModelVersion
) -> TrainedModel:
    """Distil a version into a model of so many layers, with live curves and progress as in training."""
    settings = load_settings()
    registry = open_registry(settings)
    snapshot = find(settings.folder("snapshots"), digest)
    configuration = student_configuration(student, training, teacher.digest, layers)
    output = settings.folder("models") / f"trained-{digest[:16]}-{configuration}"
    checkpoints = open_checkpoints(settings, output.name)
    parameters = {**student.model_dump(), "layers": layers, "teacher": teacher.version}
    folder = registry.fetch(teacher.version, settings.folder("models"))
    retriever = open_retriever(settings.retrieval.model_copy(update={"kind": "bm25"}))
    with registry.training_run(snapshot, configuration, parameters, go_on=begun(checkpoints)) as run:
        show, scored = _show(run), _show_counts("teaching")
        return distil(snapshot, student, training, layers, folder, output, retriever, show, checkpoints, scored)


@task
def measure_challenger(trained: TrainedModel) -> Evaluation:
    """Score the candidate lists of the test split, which nothing was chosen on."""
    settings = load_settings()
    test = find(settings.folder("snapshots"), trained.snapshot).table("test")
    return evaluate(test, CrossEncoderScorer(trained.folder))


@task(persist_result=False, **HEALING)
def register_challenger(
    trained: TrainedModel, measured: Evaluation, recipe: Mapping[str, Any], teacher: int | None
) -> int:
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
    lineage = registry.lineage(trained, recipe, teacher)
    licence = declared_licence(lineage.base_model)
    card = model_card(trained, lineage, snapshot.manifest, metrics, by_slice, licence)
    evidence = {"challenger.parquet": measured.per_query}
    return registry.register(trained, metrics, evidence, lineage, card).version


def _start(registry: Registry, training: TrainingSettings) -> str:
    start = _start_version(registry, training)
    if start is None:
        return training.base_model
    return str(registry.fetch(start.version, load_settings().folder("models")))


def _start_version(registry: Registry, training: TrainingSettings) -> ModelVersion | None:
    """Return the champion, or its teacher where it is a student: challengers would only grow shallower."""
    start = registry.champion() if training.from_champion else None
    while start is not None and start.teacher is not None:
        start = registry.version(start.teacher)
    return start


def _show(run: TrainingRun) -> Callable[[Progress], None]:
    """Return a callback that brings the training's progress to MLflow's curves and to the Prefect run."""
    bar = _Bar("training")

    def show(progress: Progress) -> None:
        run.log(progress.metrics(), progress.step)
        bar.show(progress.share, progress.line())

    return show


def _show_counts(what: str) -> Callable[[int, int], None]:
    """Return a callback that shows how many of all are done."""
    bar = _Bar(what)
    return lambda done, total: bar.show(done / total, f"{done:,} of {total:,}")


class _Bar:
    """A progress artifact of the run, moved every two seconds at most."""

    def __init__(self, key: str) -> None:
        self._artifact = cast(UUID, create_progress_artifact(progress=0.0, key=key, description="preparing"))
        self._shown = 0.0

    def show(self, share: float, line: str) -> None:
        if time.monotonic() - self._shown >= _SHOW_EVERY_SECONDS or share >= 1:
            self._shown = time.monotonic()
            update_progress_artifact(self._artifact, progress=100 * share, description=line)
