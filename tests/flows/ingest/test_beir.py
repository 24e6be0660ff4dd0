"""Import of BEIR folders."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from flows.contracts.pair import PAIR_SCHEMA
from flows.ingest import ImportFailed, import_pairs
from flows.store import SqliteLabelStore

Write = Callable[..., Path]

CORPUS = [
    {"_id": "d1", "title": "Sorting", "text": "Use sorted().", "metadata": {}},
    {"_id": "d2", "title": "", "text": "Use min()."},
    {"_id": 3, "text": "Use max()."},
]
QUERIES = [{"_id": "q1", "text": "How do I sort?"}, {"_id": "q2", "text": "What is least?"}]
HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def folder(write: Write) -> Path:
    """A small data set with two splits."""
    write("tiny/corpus.jsonl", CORPUS)
    write("tiny/queries.jsonl", QUERIES)
    write("tiny/qrels/train.tsv", HEADER + "q1\td1\t2\nq1\td2\t0\n")
    return write("tiny/qrels/test.tsv", HEADER + "q2\td2\t1\nq2\t3\t-1\nq1\td1\t7\n").parents[1]


def test_judgements_become_pairs(folder: Path, store: SqliteLabelStore) -> None:
    report = import_pairs(folder, store)
    assert (report.read, report.kept, report.merged, report.quarantined) == (5, 4, 1, 0)
    table = pa.Table.from_batches(store.scan(), schema=PAIR_SCHEMA).select(
        ["query", "document", "relevance", "grade"]
    )
    assert sorted(tuple(row.values()) for row in table.to_pylist()) == sorted(
        [
            ("How do I sort?", "Sorting Use sorted().", 1, 2),
            ("How do I sort?", "Use min().", 0, 0),
            ("What is least?", "Use min().", 1, 1),
            ("What is least?", "Use max().", 0, None),
        ],
        key=str,
    )
    assert next(store.scan())["source"].to_pylist() == ["tiny"] * 4


def test_what_cannot_be_used_is_quarantined_where_it_stands(
    folder: Path, store: SqliteLabelStore, write: Write
) -> None:
    qrels = "q9\td1\t1\nq1\td9\t1\nq1\td1\tgood\nq1\td1\tnan\nq1 d1 1\nq1\td1\t1\nq2\tlong\t1\nq2\tempty\t1\n"
    write("tiny/qrels/test.tsv", HEADER + qrels)
    more = [{"_id": "d1", "text": "another"}, {"_id": "x"}, {"_id": "long", "text": "y" * 100_001}, CORPUS[0]]
    broken = '{"_id": "bad", "text": "\udcff"}\n{"_id"\n{"_id": "empty", "text": " "}\n'
    write("tiny/corpus.jsonl", "".join(json.dumps(line) + "\n" for line in [*CORPUS, *more]) + broken)
    report = import_pairs(folder, store)
    assert report.reasons == Counter(
        {
            "the judgement names a query that queries.jsonl does not have": 1,
            "the judgement names a document that corpus.jsonl does not have": 1,
            "score is not a number": 2,
            "the row is not query-id, corpus-id, score": 1,
            "another document has the same _id": 1,
            "_id or text is missing, or is not text": 1,
            "document is longer than 100,000 characters": 1,
            "document is empty": 1,
            "the document is not valid UTF-8": 1,
            "the line is not JSON": 1,
        }
    )
    assert (report.read, report.kept, report.merged) == (14, 2, 1)
    places = {(Path(row.origin).name, row.position) for row in store.quarantined()}
    assert {("test.tsv", 2), ("corpus.jsonl", 4), ("corpus.jsonl", 8)} <= places


def test_a_folder_that_is_not_whole_is_refused(folder: Path, store: SqliteLabelStore, write: Write) -> None:
    write("tiny/qrels/dev.tsv", "q1\td1\t1\n")
    with pytest.raises(ImportFailed, match=r"first line of .*dev\.tsv must be query-id, corpus-id, score"):
        import_pairs(folder, store)
    for path in (folder / "qrels").iterdir():
        path.unlink()
    with pytest.raises(ImportFailed, match="has no judgements"):
        import_pairs(folder, store)
    write("tiny/qrels/test.tsv", HEADER)
    with pytest.raises(ImportFailed, match="has no rows"):
        import_pairs(folder, store)
    (folder / "queries.jsonl").unlink()
    with pytest.raises(ImportFailed, match=r"without corpus\.jsonl and queries\.jsonl"):
        import_pairs(folder, store)
    assert store.count() == store.count_quarantined() == 0
