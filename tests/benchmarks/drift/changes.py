"""What happens to a window: other topics, longer texts, turned labels."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from tests.benchmarks.drift.history import History, Queries

Change = Callable[[History, Queries, Queries, np.random.Generator], pa.Table]
"""(history, queries of the window, queries of held-out topics, what decides) -> rows of the changed window."""

SEVERITIES = 0.05, 0.1, 0.2, 0.3, 0.5
QUIET = "quiet"
LONGER, FLIPPED = "20 % longer", "20 % flipped"
SHARE = 0.2


def topics(severity: float) -> str:
    """Return the name of the change that replaces such a share of the queries."""
    return f"{severity:.0%} other topics".replace("%", " %")


def replaced(severity: float) -> Change:
    """Put queries of held-out topics in the place of a share of the window's."""

    def change(history: History, window: Queries, others: Queries, rng: np.random.Generator) -> pa.Table:
        count = max(1, round(severity * len(window)))
        kept = rng.choice(window, len(window) - count, replace=False)
        return history.table(np.concatenate([kept, rng.choice(others, count, replace=False)]))

    return change


def longer(history: History, window: Queries, others: Queries, rng: np.random.Generator) -> pa.Table:
    """Let every text go on for a fifth of its words, which it repeats: longer, and about the same."""
    rows = history.table(window)
    for name in ("query", "document"):
        rows = _with(rows, name, pa.array([lengthened(text) for text in rows[name].to_pylist()]))
    return rows


def lengthened(text: str) -> str:
    """Repeat the first fifth of the words, one at least, at the end."""
    words = text.split()
    return " ".join([text, *words[: max(1, round(SHARE * len(words)))]])


def flipped(history: History, window: Queries, others: Queries, rng: np.random.Generator) -> pa.Table:
    """Turn every label of a fifth of the queries."""
    turned = rng.choice(window, max(1, round(SHARE * len(window))), replace=False)
    rest = history.table(np.setdiff1d(window, turned))
    rows = pa.concat_tables([rest, history.table(turned)])
    labels = rows["relevance"].to_numpy()
    wrong = np.where(np.arange(len(labels)) < rest.num_rows, labels, 1 - labels)
    return _with(rows, "relevance", pa.array(wrong, rows["relevance"].type))


def _with(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), values)


def unchanged(history: History, window: Queries, others: Queries, rng: np.random.Generator) -> pa.Table:
    """Return the window as it is."""
    return history.table(window)


CHANGES: Mapping[str, Change] = {
    **{topics(severity): replaced(severity) for severity in SEVERITIES},
    LONGER: longer,
    FLIPPED: flipped,
}
"""Every change of the part `drift`."""
