"""The benchmark hides what it says, and counts it."""

from flows.settings import MiningSettings
from tests.benchmarks.mining.hidden import hide, measure
from tests.flows.mining.test_mining import Plane, snapshot

LABELS = [
    ("query 0", "document 5", 1, "train"),
    ("query 0", "document 6", 1, "train"),
    ("query 0", "document 30", 0, "train"),
    ("query 100", "document 90", 1, "train"),
    ("query 100", "document 60", 0, "train"),
]


def test_one_label_of_a_query_with_several_goes_and_its_document_stays() -> None:
    pairs, hidden = hide(snapshot(LABELS), seed=1)
    rows = pairs.to_pylist()
    before = {(row["query_id"], row["document_id"]) for row in snapshot(LABELS).to_pylist()}
    after = {(row["query_id"], row["document_id"]) for row in rows}
    assert len(hidden) == 1
    assert before - after == hidden
    assert {document for _, document in hidden} <= {row["document_id"] for row in rows}


def test_what_is_taken_is_counted() -> None:
    taken = [
        measure("made up", snapshot(LABELS), Plane(), MiningSettings(mined=1, random=0, margin=margin), 1).taken
        for margin in (None, 0.5)
    ]
    assert taken == [1, 0]
