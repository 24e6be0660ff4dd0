"""The model card: what a version is made of, how good it is, what it is not good for, and what became of it."""

import json
from collections.abc import Mapping
from typing import Any

from flows.contracts.model import ModelVersion, TrainedModel
from flows.contracts.snapshot import SnapshotManifest
from flows.registry.lineage import Lineage

CARD = "model-card.md"
DESCRIPTION_CHARACTERS = 5_000
"""MLflow's limit for the description of a version."""

_LIFE = "\n## What became of it\n"
_CUT = f"\n\n... the rest is in `{CARD}` among the run's artifacts.\n"


def model_card(
    trained: TrainedModel,
    lineage: Lineage,
    snapshot: SnapshotManifest,
    metrics: Mapping[str, float],
    slices: Mapping[str, Mapping[str, float]],
    licence: str | None,
) -> str:
    """Return the card in Markdown, before anything became of the version.

    Args:
        trained: The model.
        lineage: Where it comes from.
        snapshot: The data it was trained and measured on.
        metrics: Means over the test split.
        slices: Means over parts of the test split, by the part's name, such as "source numpy"; may be empty.
        licence: As the base model declares it; None where nobody says.
    """
    started = f"version {lineage.parent}, the champion then" if lineage.parent else f"`{lineage.base_model}`"
    sections = [
        f"# A reranker for snapshot `{snapshot.digest[:16]}`",
        "A CrossEncoder that gives a query and a document a relevance between 0 and 1, to reorder what a retriever "
        "found. Trained by reranker-mlops.",
        "## Data",
        _data(snapshot),
        "## Recipe",
        _table(
            ("setting", ""),
            {
                "started from": started,
                "base model": f"`{lineage.base_model}`",
                "code": f"`{lineage.code}`",
                "steps": f"{trained.steps:,} in {trained.seconds:,.0f} s, {trained.pairs_per_second:,.0f} pairs/s",
                **{name: f"`{json.dumps(value)}`" for name, value in sorted(lineage.settings.items())},
            },
        ),
        f"## Metrics on the test split ({snapshot.splits['test'].queries:,} newest queries)",
        _metrics({"all": metrics, **slices}),
        "## Limits",
        f"Query and document together are cut after {trained.max_length} tokens. Scores order the candidates of one "
        "query; they are no probabilities and are not meant to be compared between queries. It knows the sources, "
        "languages and times of its snapshot; of others nothing is known until the watches over drift and quality "
        "speak.",
        "## Licence",
        f"Base model: {licence or 'unknown'}. Labelled pairs: unknown; whoever owns them decides. The weights "
        "inherit both.",
        "## How to use",
        '`curl http://127.0.0.1:3000/v1/rerank -H \'content-type: application/json\' -d \'{"query": "...", '
        '"documents": ["..."]}\'` asks the service when this version is live; `mlflow.pyfunc.load_model` of this '
        "version takes a frame of the columns `query` and `document`.",
    ]
    return "\n\n".join(sections) + "\n"


def with_life(card: str, version: ModelVersion, limit: int | None = None) -> str:
    """Return the card with what is known of the version's life now, cut to `limit` characters where there is one."""
    facts = {}
    if version.replaced is not None:
        facts["took over from"] = f"version {version.replaced}"
    if version.approval is not None:
        word = "let through" if version.approval.approved else "turned down"
        facts[word] = _word(version.approval.by, version.approval.at.date().isoformat(), version.approval.reason)
    if version.taken_back is not None:
        back = version.taken_back
        facts["taken back"] = _word(back.by, back.at.date().isoformat(), back.reason)
    life = f"{_LIFE}\n{_table(('', ''), facts)}\n" if facts else ""
    body = card.partition(_LIFE)[0]
    if limit is not None and len(body) + len(life) > limit:
        life = life if len(life) < limit // 2 else ""
        body = body[: limit - len(life) - len(_CUT)].rpartition("\n")[0] + _CUT
    return body + life


def _word(by: str, day: str, reason: str) -> str:
    return _cell(f"by {by} on {day}: {reason}")


def _data(snapshot: SnapshotManifest) -> str:
    sides = ", ".join(f"{counts.queries:,} queries ({name})" for name, counts in snapshot.splits.items())
    sources = ", ".join(f"{_cell(name)} {count:,}" for name, count in sorted(snapshot.sources.items())[:10])
    more = f" and {len(snapshot.sources) - 10} more" if len(snapshot.sources) > 10 else ""
    return (
        f"{snapshot.cleaning.kept:,} labelled pairs from {snapshot.first_pair_at:%Y-%m-%d} to "
        f"{snapshot.last_pair_at:%Y-%m-%d}: {sides}. Sources: {sources}{more}. The newest queries are the test "
        f"split. Snapshot `{snapshot.digest}`."
    )


def _metrics(parts: Mapping[str, Mapping[str, float]]) -> str:
    names = list(parts["all"])
    rows = [
        f"| {_cell(part)} | {' | '.join(f'{m[n]:.3f}' if n in m else '' for n in names)} |"
        for part, m in parts.items()
    ]
    return "\n".join([f"| queries | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}", *rows])


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    return "\n".join(
        [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    )


def _cell(text: str) -> str:
    """Return `text` so that it cannot break a table or start markup."""
    return " ".join("".join(f"\\{c}" if c in "\\`*_|<>[]#" else c for c in text).split())
