"""The decision as people read it."""

from flows.gate.decision import Decision

_SENTENCES = {
    "promote": "**{challenger} takes over from {incumbent}**: it passed every rule on {queries} queries.",
    "reject": "**{challenger} does not take over from {incumbent}**: on {queries} queries it failed {failed}.",
    "cannot-tell": "**{challenger} does not take over from {incumbent}**: {queries} test queries are too few to "
    "tell. Gather more labelled queries.",
}


def sentence(decision: Decision) -> str:
    """Return the verdict in one plain sentence."""
    failed = " and ".join(f'"{rule.demand}"' for rule in decision.rules if not rule.passed)
    return _SENTENCES[decision.verdict].format(
        challenger=_cell(decision.challenger),
        incumbent=_cell(decision.incumbent),
        queries=decision.queries,
        failed=failed,
    )


def to_markdown(decision: Decision) -> str:
    """Return the decision as a page of Markdown: verdict, rules, metrics of both sides, evidence."""
    challenger, incumbent = _cell(decision.challenger), _cell(decision.incumbent)
    rules = [
        f"| {rule.demand} | {rule.observed:+.4f} | {'yes' if rule.passed else '**no**'} |"
        if rule.name != "queries"
        else f"| {rule.demand} | {rule.observed:.0f} | {'yes' if rule.passed else '**no**'} |"
        for rule in decision.rules
    ]
    metrics = [
        f"| {c.metric} | {c.challenger:.4f} | {c.incumbent:.4f} | {c.difference:+.4f} |" for c in decision.comparisons
    ]
    sureness = [
        f"| {e.metric} | {e.difference:+.4f} | {e.low:+.4f} to {e.high:+.4f} | {e.p_value:.4f} "
        f"| {e.better} | {e.worse} |"
        for e in decision.evidence
    ]
    return "\n".join(
        [
            f"# Gate: {decision.verdict}",
            "",
            sentence(decision),
            "",
            "| rule | observed | passed |",
            "|---|---:|---|",
            *rules,
            "",
            f"| metric | {challenger} | {incumbent} | difference |",
            "|---|---:|---:|---:|",
            *metrics,
            "",
            "How sure the differences are (shown; no rule asks for it yet):",
            "",
            "| metric | difference | 95 % interval | p-value | queries better | worse |",
            "|---|---:|---:|---:|---:|---:|",
            *sureness,
            "",
            f"Judged on the test split of snapshot `{decision.snapshot}`.",
        ]
    )


def _cell(text: str) -> str:
    """Return `text` so that it cannot break a table or start markup."""
    escaped = "".join(f"\\{c}" if c in "\\`*_|<>[]#" else c for c in text)
    return " ".join(escaped.split())
