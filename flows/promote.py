"""Judge a challenger against the incumbent and, when it is measurably better, make it the champion."""

from typing import Literal

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, Field

from flows.contracts.model import ModelVersion
from flows.evaluation import Evaluation, comparison, evaluate
from flows.gate import Contender, Decision, decide, sentence, to_markdown
from flows.orchestration.events import announce
from flows.orchestration.finished import kept
from flows.orchestration.retries import HEALING
from flows.orchestration.turns import turn
from flows.registry import Evidence, RegistryError, open_registry
from flows.retrieval import open_retriever
from flows.settings import GateSettings, RetrievalSettings, load_settings
from flows.snapshot import find
from flows.training import CrossEncoderScorer

RETRIEVERS: tuple[Literal["bm25", "bi-encoder"], ...] = ("bm25", "bi-encoder")


class Judgement(BaseModel):
    """What the gate said about a version, and who is champion now."""

    version: int
    verdict: str = Field(description="promote, reject, cannot-tell, or champion already")
    champion: int | None


@flow(name="promote", timeout_seconds=3600)
def promote(version: int | None = None, gate: GateSettings | None = None) -> Judgement:
    """Judge a challenger on its snapshot's test split; only a measurably better one becomes the champion.

    The incumbent is the champion, or the retriever's own order where there is none. The artifact `gate` holds the
    decision with its evidence, and so does the version in MLflow.

    Args:
        version: The version to judge; without it, the one with the alias `challenger`.
        gate: Instead of the settings' own gate section.
    """
    settings = load_settings()
    with turn("reranker-promotion"):
        challenger, champion = find_contenders(version)
        if champion is not None and champion.version == challenger.version:
            get_run_logger().info("Version %d is the champion already.", challenger.version)
            return Judgement(version=challenger.version, verdict="champion already", champion=champion.version)
        snapshot = challenger.snapshot
        measured = measure_version(challenger, snapshot)
        retrievers = {kind: measure_retriever(settings.retrieval, kind, snapshot) for kind in RETRIEVERS}
        incumbent = measure_version(champion, snapshot) if champion else retrievers[settings.retrieval.kind]
        decision = judge(measured, incumbent, snapshot, gate or settings.gate)
        show(decision, [measured, *([incumbent] if champion else []), *retrievers.values()])
        record(decision, challenger, incumbent)
    now = challenger if decision.promoted else champion
    return Judgement(version=challenger.version, verdict=decision.verdict, champion=now.version if now else None)


@task(persist_result=False, **HEALING)
def find_contenders(version: int | None) -> tuple[ModelVersion, ModelVersion | None]:
    """Return the version to judge, and the champion where there is one."""
    registry = open_registry(load_settings())
    challenger = registry.challenger() if version is None else registry.version(version)
    if challenger is None:
        raise RegistryError("No version has the alias `challenger`. Train one: prefect deployment run train/local")
    return challenger, registry.champion()


def measure_version(version: ModelVersion, snapshot: str) -> Evaluation:
    """Measure a registered version on the test split, once for each snapshot."""
    return kept(score_version, "measured", "pickle", model=version.digest, snapshot=snapshot)(version, snapshot)


def measure_retriever(retrieval: RetrievalSettings, kind: Literal["bm25", "bi-encoder"], snapshot: str) -> Evaluation:
    """Measure a retriever's own order of the test lists, once for each snapshot."""
    chosen = retrieval.model_copy(update={"kind": kind})
    return kept(score_retriever, "measured", "pickle", retriever=chosen.digest(), snapshot=snapshot)(chosen, snapshot)


@task(timeout_seconds=1800, **HEALING)
def score_version(version: ModelVersion, snapshot: str) -> Evaluation:
    """Score the candidate lists of the test split with a registered version."""
    settings = load_settings()
    folder = open_registry(settings).fetch(version.version, settings.folder("models"))
    test = find(settings.folder("snapshots"), snapshot).table("test")
    return evaluate(test, CrossEncoderScorer(folder, name=f"version {version.version}"))


@task(timeout_seconds=1800)
def score_retriever(retrieval: RetrievalSettings, snapshot: str) -> Evaluation:
    """Score the candidate lists of the test split as the retriever would order them."""
    pairs = find(load_settings().folder("snapshots"), snapshot)
    retriever = open_retriever(retrieval)
    if retrieval.kind == "bm25":  # its word statistics are those of the whole corpus; embeddings need none
        retriever.index(pairs.table()["document"].unique().to_pylist())
    return evaluate(pairs.table("test"), retriever)


@task(persist_result=False)
def judge(challenger: Evaluation, incumbent: Evaluation, snapshot: str, gate: GateSettings) -> Decision:
    """Hold the challenger's per-query metrics against the incumbent's."""
    return decide(
        [Contender(challenger.scorer, challenger.per_query)],
        Contender(incumbent.scorer, incumbent.per_query),
        gate,
        slices=None,
        snapshot=snapshot,
    )


def show(decision: Decision, evaluations: list[Evaluation]) -> None:
    """Put the decision and everybody's metrics into the run."""
    markdown = f"{to_markdown(decision)}\n\n## Everybody on the same lists\n\n{comparison(evaluations)}"
    create_markdown_artifact(key="gate", markdown=markdown, description=sentence(decision))
    get_run_logger().info(sentence(decision))


@task(persist_result=False, **HEALING)
def record(decision: Decision, challenger: ModelVersion, incumbent: Evaluation) -> None:
    """Keep the decision beside the model and move the alias `champion`, or leave it where it is."""
    registry = open_registry(load_settings())
    evidence: Evidence = {
        "decision.json": decision.model_dump_json(indent=2),
        "decision.md": to_markdown(decision),
        "incumbent.parquet": incumbent.per_query,
    }
    registry.attach(challenger.version, evidence)
    subject = f"reranker.model.{challenger.version}"
    if decision.promoted:
        registry.promote(challenger.version)
        announce("reranker.challenger.promoted", subject, incumbent=decision.incumbent, snapshot=decision.snapshot)
    else:
        registry.reject(challenger.version)
        announce("reranker.challenger.rejected", subject, incumbent=decision.incumbent, verdict=decision.verdict)
