"""Judge challengers against the incumbent and make the one that is measurably better the champion."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

import pyarrow.compute as pc
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, Field

from flows.contracts.model import Approval, ModelVersion
from flows.evaluation import Curve, Evaluation, Point, comparison, evaluate, slices, write_report
from flows.gate import Contender, Costs, Decision, Model, decide, measure_costs, sentence, to_markdown, usual_lists
from flows.orchestration.asking import ask
from flows.orchestration.events import announce
from flows.orchestration.finished import kept
from flows.orchestration.retries import HEALING
from flows.orchestration.turns import turn
from flows.registry import Contenders, Evidence, choose_contenders, open_registry
from flows.retrieval import open_retriever
from flows.settings import ApprovalSettings, GateSettings, RetrievalSettings, load_settings
from flows.snapshot import SnapshotError, find
from flows.training import CrossEncoderScorer

RETRIEVERS: tuple[Literal["bm25", "bi-encoder"], ...] = ("bm25", "bi-encoder")


class Judgement(BaseModel):
    """What the gate, and who was asked, said about the challengers, and who is champion now."""

    versions: list[int] = Field(description="The challengers.")
    leading: int = Field(description="The challenger that did best.")
    verdict: str = Field(
        description="Of the gate; or `turned down`, `nobody answered`; or, where there was nothing to judge, "
        "`champion already`, `taken back`."
    )
    champion: int | None
    before: Mapping[str, float] = Field({}, description="The incumbent's metrics on the test split.")
    after: Mapping[str, float] = Field({}, description="The leading challenger's on the same lists.")


@flow(name="promote")  # no timeout: every step has one of its own, and a person is given as long as the settings say
def promote(
    versions: list[int] | None = None,
    gate: GateSettings | None = None,
    approval: ApprovalSettings | None = None,
    again: bool = False,
) -> Judgement:
    """Judge challengers on their snapshot's test split; only a measurably better one becomes the champion.

    The incumbent is the champion, or the retriever's own order where there is none. Where the settings say so, a
    person has the last word: the run pauses with a form. The artifact `gate` holds the decision with its evidence,
    and so does the version in MLflow.

    Args:
        versions: The versions to judge, of one snapshot; without them, the one with the alias `challenger`.
        gate: Instead of the settings' own gate section.
        approval: Instead of the settings' own approval section.
        again: Judge also a champion that was taken back, and a challenger that a person turned down.
    """
    settings = load_settings()
    while True:
        contenders = find_contenders(versions, again)
        if contenders.settled is not None:
            get_run_logger().info("Nothing to judge: %s.", contenders.settled)
            return Judgement(
                versions=[version.version for version in contenders.challengers],
                leading=contenders.challengers[0].version,
                verdict=contenders.settled,
                champion=contenders.champion_number,
            )
        measured = [measure_version(version, contenders.snapshot) for version in contenders.challengers]
        retrievers = {kind: measure_retriever(settings.retrieval, kind, contenders.snapshot) for kind in RETRIEVERS}
        retriever = retrievers[settings.retrieval.kind]
        incumbent = measure_version(contenders.champion, contenders.snapshot) if contenders.champion else retriever
        others = list({other.scorer: other for other in (incumbent, *retrievers.values())}.values())
        costs = measure_costs_of(contenders)
        learned = find_learned(contenders)
        measured = [evaluation.without(learned) for evaluation in measured]
        incumbent, retriever = incumbent.without(learned), retriever.without(learned)
        others = [evaluation.without(learned) for evaluation in others]
        curve = compare_speed([*measured, *others], costs, contenders.snapshot)
        decision = judge(measured, incumbent, costs, contenders.snapshot, gate or settings.gate)
        page = show(decision, [*measured, *others], curve, len(learned))
        word = last_word(decision, contenders.champion_number, approval or settings.approval, page)
        keep_evidence(decision, word, contenders, measured, others, retriever, curve)
        with turn("reranker-promotion"):
            if move_champion(decision, word, contenders):
                return _judgement(contenders, decision, word, [incumbent, *measured])
        get_run_logger().warning("The champion has changed meanwhile: judging again.")


@task(persist_result=False, **HEALING)
def find_contenders(versions: list[int] | None, again: bool) -> Contenders:
    """Return the versions to judge, and the champion where there is one."""
    return choose_contenders(open_registry(load_settings()), versions, again)


@task(persist_result=False, **HEALING)
def find_learned(contenders: Contenders) -> list[str]:
    """Return the ids of test queries that a contender, or an ancestor of it, has learned from: they judge nobody.

    A question that is asked again is among the newest again, and those are the test split.
    """
    settings = load_settings()
    registry = open_registry(settings)
    versions = [*contenders.challengers, *([contenders.champion] if contenders.champion else [])]
    line = {ancestor.snapshot for version in versions for ancestor in registry.ancestors(version)}
    test = set(find(settings.folder("snapshots"), contenders.snapshot).table("test")["query_id"].to_pylist())
    learned: set[str] = set()
    for digest in line - {contenders.snapshot}:
        try:
            table = find(settings.folder("snapshots"), digest).table()
        except SnapshotError as gone:
            get_run_logger().warning("Which test queries were learned from cannot be told of one snapshot: %s", gone)
            continue
        learned |= test & set(table.filter(pc.not_equal(table["split"], "test"))["query_id"].unique().to_pylist())
    return sorted(learned)


def measure_version(version: ModelVersion, snapshot: str) -> Evaluation:
    """Measure a registered version on the test split, once for each snapshot."""
    scored = kept(score_version, "scored", "pickle", model=version.digest, snapshot=snapshot)(version, snapshot)
    return replace(scored, scorer=f"version {version.version}")  # where it was trained, it had no number yet


def measure_retriever(retrieval: RetrievalSettings, kind: Literal["bm25", "bi-encoder"], snapshot: str) -> Evaluation:
    """Measure a retriever's own order of the test lists, once for each snapshot."""
    chosen = retrieval.model_copy(update={"kind": kind})
    return kept(score_retriever, "scored", "pickle", retriever=chosen.digest(), snapshot=snapshot)(chosen, snapshot)


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


def measure_costs_of(contenders: Contenders) -> dict[str, Costs]:
    """Measure latency, memory and size of challengers and champion side by side; a retriever has none of its own."""
    versions = [*contenders.challengers, *([contenders.champion] if contenders.champion else [])]
    models = "+".join(f"{version.version}-{version.digest[:16]}" for version in versions)
    measure = kept(run_models, "costs", "pickle", models=models, snapshot=contenders.snapshot)
    return measure(versions, contenders.snapshot)


@task(timeout_seconds=1800, **HEALING)
def run_models(versions: list[ModelVersion], snapshot: str) -> dict[str, Costs]:
    """Let the versions score the same lists of usual size in turns."""
    settings = load_settings()
    registry = open_registry(settings)
    models = {}
    for version in versions:
        folder = registry.fetch(version.version, settings.folder("models"))
        name = f"version {version.version}"
        models[name] = Model(partial(CrossEncoderScorer, folder, name=name), folder)
    test = find(settings.folder("snapshots"), snapshot).table("test")
    return measure_costs(models, usual_lists(test["query"].to_pylist(), test["document"].to_pylist()))


@task(timeout_seconds=1800, persist_result=False)
def judge(
    challengers: Sequence[Evaluation],
    incumbent: Evaluation,
    costs: Mapping[str, Costs],
    snapshot: str,
    gate: GateSettings,
) -> Decision:
    """Hold each challenger against the incumbent, over all queries, by slice, and by what it costs."""
    return decide(
        [Contender(c.scorer, c.per_query, costs.get(c.scorer)) for c in challengers],
        Contender(incumbent.scorer, incumbent.per_query, costs.get(incumbent.scorer)),
        gate,
        slices=slices(find(load_settings().folder("snapshots"), snapshot).table("test")),
        snapshot=snapshot,
    )


def compare_speed(evaluations: Sequence[Evaluation], costs: Mapping[str, Costs], snapshot: str) -> Curve:
    """Return the curve of quality against latency, on which a team chooses; retrievers are not on it."""
    points = (
        Point.of(each, costs[each.scorer].latency_ms, costs[each.scorer].artifact_bytes)
        for each in evaluations
        if each.scorer in costs
    )
    queries = evaluations[0].summary.queries
    return Curve(snapshot=snapshot, queries=queries, measured="trained model, this machine", points=tuple(points))


def show(decision: Decision, evaluations: Sequence[Evaluation], curve: Curve, learned: int) -> str:
    """Put the decision, everybody's metrics and the curve into the run; return the page."""
    page = (
        f"{to_markdown(decision)}\n\n## Everybody on the same lists\n\n{comparison(evaluations)}"
        f"\n\n## Quality and latency\n\n{curve.table()}"
    )
    if learned:
        page += (
            f"\n\n{learned} queries of the test split judge nobody here: a contender has learned from them before."
        )
    create_markdown_artifact(key="gate", markdown=page, description=sentence(decision))
    log = get_run_logger()
    (log.warning if decision.mode == "disabled" else log.info)(sentence(decision))
    return page


def last_word(decision: Decision, champion: int | None, settings: ApprovalSettings, page: str) -> Approval | None:
    """Return who lets the winner through or turns it down; None where the gate lets nobody through.

    No task: where a person has the last word, this pauses the run until there is an answer.
    """

    def word(approved: bool, by: str, reason: str) -> Approval:
        return Approval(approved=approved, by=by, reason=reason, at=datetime.now(UTC), champion=champion)

    if not decision.promoted:
        return None
    small = decision.leading is not None and abs(decision.leading.gain) < settings.ask_from_change
    if settings.mode == "auto" or small:
        return word(True, "gate", f"The gate's verdict is {decision.verdict}.")
    limit = f"{settings.timeout_hours:g} hours"
    answer = ask(f"{page}\n\nNo answer within {limit} means no.", settings.timeout_hours * 3600)
    said = (
        word(answer.answer == "yes", answer.name.strip(), answer.reason.strip())
        if answer
        else word(False, "nobody", f"Nobody answered within {limit}.")
    )
    outcome = f"{said.by} {'let it through' if said.approved else 'turned it down'}"
    markdown = f"{page}\n\n## The last word\n\n{said.at:%Y-%m-%d %H:%M:%S} UTC: {outcome}. {said.reason}"
    create_markdown_artifact(key="gate", markdown=markdown, description=outcome)
    get_run_logger().info("%s.", outcome)
    return said


@task(timeout_seconds=1800, persist_result=False, **HEALING)
def keep_evidence(
    decision: Decision,
    word: Approval | None,
    contenders: Contenders,
    measured: Sequence[Evaluation],
    others: Sequence[Evaluation],
    retriever: Evaluation,
    curve: Curve,
) -> None:
    """Keep the decision, and a report on how each challenger did, beside its model."""
    settings = load_settings()
    registry = open_registry(settings)
    test = find(settings.folder("snapshots"), decision.snapshot).table("test")
    for version, evaluation in zip(contenders.challengers, measured, strict=True):
        beside = [*others, *(other for other in measured if other is not evaluation)]
        with tempfile.TemporaryDirectory() as folder:
            report = write_report(Path(folder), evaluation, beside, retriever, test, snapshot=decision.snapshot)
            registry.attach(
                version.version, _evidence(decision, word, evaluation, others[0], report + curve.write(Path(folder)))
            )


@task(persist_result=False, **HEALING)
def move_champion(decision: Decision, word: Approval | None, contenders: Contenders) -> bool:
    """Move the alias `champion`, or leave it where it is, and say so.

    Returns False, and changes nothing, where another version has become the champion since the judgement, or the
    winner has been it and is it no more.
    """
    registry = open_registry(load_settings())
    now = registry.champion()
    winner = _winner(decision, contenders)
    champion = now.version if now else None
    if champion not in (contenders.champion_number, winner):
        return False
    for version in contenders.challengers:
        if version.version == winner != champion and _reign(registry.version(winner)) != _reign(version):
            return False
    if decision.mode == "dry_run":
        return True
    about = {"incumbent": decision.incumbent, "snapshot": decision.snapshot, "verdict": _verdict(decision, word)}
    for version in contenders.challengers:
        subject = f"reranker.model.{version.version}"
        if word is not None and word.approved and version.version == winner:
            registry.promote(version.version, word)
            announce("reranker.challenger.promoted", subject, **about)
        else:
            registry.reject(version.version, word if version.version == winner else None)
            announce("reranker.challenger.rejected", subject, **about)
    return True


def _reign(version: ModelVersion) -> tuple[object, ...]:
    """Return what tells whether a version has become the champion, or was taken back, in between."""
    return version.was_champion, version.taken_back


def _evidence(
    decision: Decision, word: Approval | None, challenger: Evaluation, incumbent: Evaluation, report: Sequence[Path]
) -> Evidence:
    return {
        "decision.json": decision.model_dump_json(indent=2),
        "decision.md": to_markdown(decision),
        "challenger.parquet": challenger.per_query,
        "incumbent.parquet": incumbent.per_query,
        "approval.json": word.model_dump_json(indent=2) if word else "null",  # one of an earlier judgement goes
        **{path.name: path for path in report},
    }


def _winner(decision: Decision, contenders: Contenders) -> int | None:
    return None if decision.winner is None else _number(decision.winner, contenders)


def _number(name: str, contenders: Contenders) -> int:
    return next(v.version for v in contenders.challengers if f"version {v.version}" == name)


def _verdict(decision: Decision, word: Approval | None) -> str:
    if word is not None and not word.approved:
        return "turned down" if word.by_a_person else "nobody answered"
    return f"{decision.verdict}, dry run" if decision.mode == "dry_run" else decision.verdict


def _judgement(
    contenders: Contenders, decision: Decision, word: Approval | None, sides: Sequence[Evaluation]
) -> Judgement:
    metrics = {side.scorer: side.summary.metrics for side in sides}
    leading = decision.leading.challenger if decision.leading else str(decision.winner)
    return Judgement(
        versions=[version.version for version in contenders.challengers],
        leading=_number(leading, contenders),
        verdict=_verdict(decision, word),
        champion=_winner(decision, contenders) if word and word.approved else contenders.champion_number,
        before=metrics[decision.incumbent],
        after=metrics[leading],
    )
