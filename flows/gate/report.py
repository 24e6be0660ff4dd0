"""The decision as people read it."""

from collections.abc import Sequence

from flows.gate.decision import Decision, Judgement, Rule, Slice

_SHOWN_SLICES = 12


def sentence(decision: Decision) -> str:
    """Return the verdict in one plain sentence."""
    incumbent = _cell(decision.incumbent)
    if decision.verdict == "unjudged":
        return f"**{_cell(str(decision.winner))} takes over from {incumbent} UNJUDGED**: the gate is disabled."
    leading = decision.leading
    assert leading is not None  # a judged decision has a judgement
    name, queries = _cell(leading.challenger), decision.queries
    failed = " and ".join(f'"{rule.demand}"' for rule in leading.failed)
    if decision.verdict == "promote":
        takes = "takes over" if decision.promoted else "would take over"
        said = f"**{name} {takes} from {incumbent}**: it passed every rule on {queries} queries."
    elif decision.verdict == "cannot-tell":
        said = (
            f"**{name} does not take over from {incumbent}**: {queries} test queries are too few to tell; about "
            f"{leading.queries_needed} would be enough."
        )
    else:
        said = f"**{name} does not take over from {incumbent}**: on {queries} queries it failed {failed}."
    if decision.mode == "dry_run":
        said += " This was a dry run: the champion stays."
    return said


def to_markdown(decision: Decision) -> str:
    """Return the decision as a page of Markdown: verdict, challengers, and the rules, metrics and slices of each."""
    several = len(decision.judgements) > 1
    parts = [f"# Gate: {decision.verdict}", sentence(decision)]
    if several:
        parts.append(_challengers(decision))
    for judgement in decision.judgements:
        if several:
            parts.append(f"## {_cell(judgement.challenger)}: {judgement.verdict}")
        parts += _judgement(judgement, decision)
    parts.append(f"Judged on the test split of snapshot `{decision.snapshot}`. Mode of the gate: {decision.mode}.")
    return "\n\n".join(parts)


def _challengers(decision: Decision) -> str:
    rows = [
        (
            _cell(j.challenger),
            j.verdict + (" (preferred)" if j.challenger == decision.winner else ""),
            f"{j.gain:+.4f}",
            f"{next(r.observed for r in j.rules if r.name == 'p-value'):.4f}",
            f"{j.costs.latency_ms:.0f} ms" if j.costs else "not measured",
        )
        for j in decision.judgements
    ]
    note = f"{len(rows)} were judged together, so their p-values are corrected (Holm). Of those that pass, "
    note += "the best takes over." if decision.settings.prefer == "quality" else "the fastest takes over."
    return _table(("challenger", "verdict", "NDCG@10", "p corrected", "latency"), rows) + "\n\n" + note


def _judgement(judgement: Judgement, decision: Decision) -> list[str]:
    settings = decision.settings
    metrics = [
        (c.metric, f"{c.challenger:.4f}", f"{c.incumbent:.4f}", f"{c.difference:+.4f}") for c in judgement.comparisons
    ]
    sureness = [
        (e.metric, f"{e.difference:+.4f}", f"{e.low:+.4f} to {e.high:+.4f}", f"{e.p_value:.4f}", e.better, e.worse)
        for e in judgement.evidence
    ]
    parts = [
        _table(
            ("rule", "observed", "limit", "passed"),
            [
                (r.demand, _number(r, r.observed), _number(r, r.limit), "yes" if r.passed else "**no**")
                for r in judgement.rules
            ],
        ),
        _table(("metric", _cell(judgement.challenger), _cell(decision.incumbent), "difference"), metrics),
        f"A true gain of {settings.detectable_gain:g} would be seen with probability {settings.power:.0%} on about "
        f"{judgement.queries_needed} queries that differ as these do; here are {decision.queries}.",
        _table(
            ("metric", "difference", f"{settings.confidence:.0%} interval", "p-value", "queries better", "worse"),
            sureness,
        ),
    ]
    if judgement.slices:
        parts.append(_slices(judgement.slices))
    if judgement.costs is None:
        parts.append("Latency, memory and size were not measured, so no rule looked at them.")
    return parts


def _slices(slices: Sequence[Slice]) -> str:
    rows = [
        (
            _cell(s.column),
            _cell(s.bucket),
            s.queries,
            f"{s.difference:+.4f}",
            "too few" if s.p_value is None else f"{s.p_value:.4f}",
            "**veto**" if s.vetoed else "",
        )
        for s in slices[:_SHOWN_SLICES]
    ]
    table = _table(("slice", "", "queries", "NDCG@10", "p corrected", ""), rows)
    left = len(slices) - len(rows)
    return table + (f"\n\n{left} more slices did better than these." if left else "")


def _number(rule: Rule, value: float) -> str:
    if rule.about == "costs":
        return f"{value:.2f}" if rule.name.endswith("ratio") else f"{value:.1f}"
    if rule.name in ("queries", "slices"):
        return f"{value:.0f}"
    return f"{value:.4f}" if rule.name == "p-value" else f"{value:+.4f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table of Markdown: its first column is text, the others are set to the right."""
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """Return `text` so that it cannot break a table or start markup."""
    escaped = "".join(f"\\{c}" if c in "\\`*_|<>[]#" else c for c in text)
    return " ".join(escaped.split())
