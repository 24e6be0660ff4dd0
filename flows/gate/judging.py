"""The rules that a challenger must pass, and who takes over of several that do."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from flows.gate.contender import JUDGED, Contender, Costs, aligned
from flows.gate.decision import About, Comparison, Decision, Judgement, Rule, Slice, Verdict
from flows.gate.evidence import Evidence, evidence, holm
from flows.gate.power import queries_needed
from flows.gate.seeds import explained
from flows.gate.slices import judge_slices
from flows.settings import GateSettings

_log = logging.getLogger(__name__)

NDCG = JUDGED[0]
TOLERANCE = 1e-9
"""Means of floats: a gain of exactly the limit may come out a few units in the last place below it."""

_MEGABYTE = 1e6


def decide(
    challengers: Sequence[Contender],
    incumbent: Contender,
    settings: GateSettings,
    *,
    slices: pd.DataFrame | None,
    snapshot: str,
) -> Decision:
    """Hold each challenger against the incumbent on the same queries.

    A challenger that fails for want of evidence alone, on fewer queries than the test needs, gets `cannot-tell`; one
    whose gain lies clearly below what is asked for, or that does harm or costs too much, gets `reject`.

    Args:
        challengers: At least one, each with a name of its own.
        incumbent: The champion, or the retriever's own order.
        settings: Mode and limits.
        slices: Parts of the queries, indexed by query_id, a column a way to part them; None judges none.
        snapshot: Digest of the data all were judged on.

    Raises:
        GateError: the sides cannot be compared, or no test set could tell so many challengers from luck.
    """
    if settings.mode == "disabled":
        return _unjudged(challengers, incumbent, settings, snapshot)
    ours, theirs = aligned(challengers, incumbent)
    differences = [challenger.per_query - theirs.per_query for challenger in ours]
    found = [evidence(d[list(JUDGED)], settings) for d in differences]
    p_values = holm([e[0].p_value for e in found])
    judgements = tuple(
        _judge(
            challenger,
            theirs,
            sureness,
            p_value,
            explained(difference[NDCG].to_numpy(dtype=np.float64), settings, len(ours)),
            () if slices is None else judge_slices(difference[NDCG], slices, settings),
            queries_needed(difference[NDCG].to_numpy(dtype=np.float64), settings, len(ours)),
            settings,
            with_slices=slices is not None,
        )
        for challenger, difference, sureness, p_value in zip(ours, differences, found, p_values, strict=True)
    )
    verdicts = {judgement.verdict for judgement in judgements}
    passed = [c for c, j in zip(ours, judgements, strict=True) if j.verdict == "promote"]
    decision = Decision(
        settings=settings,
        verdict=next(v for v in ("promote", "cannot-tell", "reject") if v in verdicts),
        winner=_preferred(passed, settings) if passed else None,
        incumbent=theirs.name,
        incumbent_costs=theirs.costs,
        snapshot=snapshot,
        queries=len(theirs.per_query),
        judgements=judgements,
    )
    _log.info("gate (%s): %s on %d queries", settings.mode, decision.verdict, decision.queries)
    return decision


def _unjudged(
    challengers: Sequence[Contender], incumbent: Contender, settings: GateSettings, snapshot: str
) -> Decision:
    ours, theirs = aligned(challengers, incumbent)
    winner = _preferred(ours, settings)
    _log.warning("gate: disabled, so %s takes over from %s unjudged", winner, theirs.name)
    return Decision(
        settings=settings,
        verdict="unjudged",
        winner=winner,
        incumbent=theirs.name,
        incumbent_costs=theirs.costs,
        snapshot=snapshot,
        queries=len(theirs.per_query),
        judgements=(),
    )


def _preferred(passed: Sequence[Contender], settings: GateSettings) -> str:
    """Return the name of the best or the fastest; among equals, the better, and then the first."""

    def rank(contender: Contender) -> tuple[float, float]:
        quality = -float(contender.per_query[NDCG].mean())
        latency = contender.costs.latency_ms if contender.costs else float("inf")
        return (latency, quality) if settings.prefer == "speed" else (quality, latency)

    return min(passed, key=rank).name


def _judge(
    challenger: Contender,
    incumbent: Contender,
    sureness: tuple[Evidence, ...],
    p_value: float,
    seeds: float,
    slices: tuple[Slice, ...],
    needed: int,
    settings: GateSettings,
    *,
    with_slices: bool,
) -> Judgement:
    rules = [*_quality(len(challenger.per_query), sureness, p_value, seeds, settings)]
    if with_slices:
        rules.append(_slice_rule(slices, settings))
    if challenger.costs:
        rules += _cost_rules(challenger.costs, incumbent.costs, settings)
    return Judgement(
        challenger=challenger.name,
        verdict=_verdict(rules, sureness[0], needed, settings),
        rules=tuple(rules),
        comparisons=tuple(_compare(metric, challenger, incumbent) for metric in challenger.per_query.columns),
        evidence=sureness,
        slices=slices,
        queries_needed=needed,
        costs=challenger.costs,
    )


def _quality(
    queries: int, sureness: tuple[Evidence, ...], p_value: float, seeds: float, s: GateSettings
) -> list[Rule]:
    ndcg, mrr, mean_precision = sureness

    def at_least(name: str, about: About, demand: str, observed: float, limit: float) -> Rule:
        passed = observed >= limit - TOLERANCE
        return Rule(name=name, about=about, demand=demand, observed=observed, limit=limit, passed=passed)

    gain, level = s.min_ndcg_gain, s.max_p_value
    luck = Rule(
        name="seeds",
        about="gain",
        demand="NDCG@10 gains more than other queries and another seed together explain",
        observed=ndcg.difference,
        limit=seeds,
        passed=ndcg.difference > seeds - TOLERANCE,
    )
    return [
        at_least("queries", "queries", f"at least {s.min_queries} queries", queries, s.min_queries),
        at_least("ndcg@10", "gain", f"NDCG@10 gains at least {gain:g}", ndcg.difference, gain),
        Rule(
            name="p-value",
            about="gain",
            demand=f"chance gives such a difference with p below {level:g}",
            observed=p_value,
            limit=level,
            passed=p_value < level,
        ),
        Rule(
            name="interval",
            about="gain",
            demand=f"the gain's {s.confidence:.0%} interval lies above 0",
            observed=ndcg.low,
            limit=0.0,
            passed=ndcg.low > 0,
        ),
        *([luck] if s.seed_deviation else []),
        at_least(
            "mrr@10", "harm", f"MRR@10 falls by no more than {s.max_mrr_fall:g}", mrr.difference, -s.max_mrr_fall
        ),
        at_least(
            "map@10",
            "harm",
            f"MAP@10 falls by no more than {s.max_map_fall:g}",
            mean_precision.difference,
            -s.max_map_fall,
        ),
    ]


def _slice_rule(slices: tuple[Slice, ...], settings: GateSettings) -> Rule:
    vetoes = sum(part.vetoed for part in slices)
    return Rule(
        name="slices",
        about="harm",
        demand=f"no slice of {settings.min_slice_queries} queries or more falls by more than "
        f"{settings.max_slice_fall:g} beyond chance",
        observed=vetoes,
        limit=0,
        passed=vetoes == 0,
    )


def _cost_rules(costs: Costs, incumbent: Costs | None, s: GateSettings) -> list[Rule]:
    """Return a rule for each limit that is set; those in the incumbent's measure need one that was measured."""
    asked = (
        ("latency", "ms for a list", 1.0, "latency_ms", s.max_latency_ms, s.max_latency_ratio),
        ("memory", "MB of memory", _MEGABYTE, "memory_bytes", s.max_memory_mb, s.max_memory_ratio),
        ("artifact", "MB of files", _MEGABYTE, "artifact_bytes", s.max_artifact_mb, s.max_artifact_ratio),
    )
    rules = []
    for name, unit, scale, field, limit, ratio in asked:
        observed = getattr(costs, field) / scale
        if limit is not None:
            rules.append(_at_most(name, f"at most {limit:g} {unit}", observed, limit))
        theirs = getattr(incumbent, field) / scale if incumbent else 0
        if ratio is not None and theirs > 0:
            demand = f"at most {ratio:g} times the incumbent's {theirs:.0f} {unit}"
            rules.append(_at_most(f"{name}-ratio", demand, observed / theirs, ratio))
    return rules


def _at_most(name: str, demand: str, observed: float, limit: float) -> Rule:
    passed = observed <= limit + TOLERANCE
    return Rule(name=name, about="costs", demand=demand, observed=observed, limit=limit, passed=passed)


def _verdict(rules: Sequence[Rule], gain: Evidence, needed: int, settings: GateSettings) -> Verdict:
    failed = {rule.about for rule in rules if not rule.passed}
    if not failed:
        return "promote"
    if "costs" in failed:
        return "reject"
    if "queries" in failed:
        return "cannot-tell"
    possible = gain.high >= settings.min_ndcg_gain - TOLERANCE
    too_few = rules[0].observed < needed
    return "cannot-tell" if failed == {"gain"} and possible and too_few else "reject"


def _compare(metric: str, challenger: Contender, incumbent: Contender) -> Comparison:
    ours, theirs = float(challenger.per_query[metric].mean()), float(incumbent.per_query[metric].mean())
    return Comparison(metric=metric, challenger=ours, incumbent=theirs, difference=ours - theirs)
