"""Qdrant as the index: the same order as in memory, kept, brought in line, resumed, and clear when it fails."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from qdrant_client import models

from flows.contracts.failure import Healable
from flows.contracts.snapshot import SNAPSHOT_SCHEMA
from flows.retrieval import (
    PROVENANCE_SCHEMA,
    IndexUnavailableError,
    RetrievalError,
    corpus_of,
    open_retriever,
)
from flows.retrieval.bi_encoder import BiEncoder
from flows.retrieval.points import Points, Where
from flows.retrieval.qdrant import QdrantBiEncoder
from flows.settings import RetrievalSettings, Settings
from tests.flows.retrieval.qdrant_server import QdrantServer
from tests.flows.retrieval.tiny import Encoder, in_folder, on_server, tiny_weights

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [f"{letter} {letter}b the list {number}" for number, letter in enumerate("klmnopqrst")]
START = datetime(2026, 1, 1, tzinfo=UTC)


def provenance(documents: list[str], **changes: list[list[str]]) -> pa.Table:
    columns: dict[str, list[object]] = {
        "sources": [["even" if number % 2 == 0 else "odd"] for number in range(len(documents))],
        "created_at": [START + timedelta(days=number) for number in range(len(documents))],
        "subject_ids": [[f"person {number}"] for number in range(len(documents))],
    }
    return pa.table({**columns, **changes}, schema=PROVENANCE_SCHEMA)


def test_it_finds_and_scores_as_the_bi_encoder_in_memory_does(retriever: QdrantBiEncoder) -> None:
    in_memory = BiEncoder(tiny_weights())
    in_memory.index(DOCUMENTS)
    retriever.index(DOCUMENTS)
    queries = ["how do i sort a list", "a k", "the cat sat on the mat"]

    positions, cosines = retriever.search(queries, 4)
    expected, expected_cosines = in_memory.search(queries, 4)

    assert positions.tolist() == expected.tolist()
    np.testing.assert_allclose(cosines, expected_cosines, atol=1e-2)
    pairs = [(query, DOCUMENTS[position]) for query, row in zip(queries, positions, strict=True) for position in row]
    scored = retriever.score([query for query, _ in pairs], [document for _, document in pairs])
    np.testing.assert_allclose(scored, cosines.ravel(), atol=1e-2)


def test_pairs_are_scored_without_an_index_and_nothing_is_opened(tmp_path: Path, encoder: Encoder) -> None:
    retriever = in_folder(tmp_path / "qdrant", encoder)
    assert retriever.score(["sort a list"], [DOCUMENTS[0]]).shape == (1,)
    assert not (tmp_path / "qdrant").exists()


def test_documents_of_the_index_are_not_embedded_to_be_scored(retriever: QdrantBiEncoder, encoder: Encoder) -> None:
    retriever.index(DOCUMENTS)
    encoder.embedded.clear()
    retriever.score(["a query", "a query"], [DOCUMENTS[3], "a document from elsewhere"])
    assert encoder.embedded == ["a query", "a document from elsewhere"]


def test_nothing_asked_gives_nothing(retriever: QdrantBiEncoder) -> None:
    retriever.index(DOCUMENTS)
    assert retriever.score([], []).shape == (0,)
    assert retriever.search([], top_k=2)[0].shape == (0, 2)
    assert retriever.search(["a"], top_k=99)[0].shape == (1, len(DOCUMENTS))


def test_indexing_again_embeds_nothing(retriever: QdrantBiEncoder, encoder: Encoder) -> None:
    retriever.index(DOCUMENTS, provenance(DOCUMENTS))
    first = retriever.search(["sort a list"], 3)
    retriever.close()
    encoder.embedded.clear()

    retriever.index(DOCUMENTS, provenance(DOCUMENTS))

    assert set(encoder.embedded) == {"dimension"}
    np.testing.assert_array_equal(retriever.search(["sort a list"], 3)[0], first[0])


def test_the_collection_follows_the_corpus(retriever: QdrantBiEncoder, encoder: Encoder) -> None:
    retriever.index(DOCUMENTS[:6])
    encoder.embedded.clear()

    retriever.index(DOCUMENTS[4:])

    assert set(encoder.embedded) == {"dimension", *DOCUMENTS[6:]}
    positions, _ = retriever.search(["a query"], 99)
    assert sorted(positions[0].tolist()) == list(range(6))
    assert retriever._open().count() == 6


def test_spellings_of_one_text_are_one_document(retriever: QdrantBiEncoder) -> None:
    retriever.index(["The  cat", "the cat", "the mat"])
    assert sorted(retriever.search(["cat"], 5)[0][0].tolist()) == [0, 2]


def test_progress_counts_what_was_there_already(retriever: QdrantBiEncoder) -> None:
    retriever.index(DOCUMENTS[:5])
    told: list[tuple[int, int]] = []
    retriever.index(DOCUMENTS, on_progress=lambda done, of: told.append((done, of)))
    assert told == [(5, 10), (9, 10), (10, 10)]


def test_a_search_can_be_kept_to_some_documents(retriever: QdrantBiEncoder) -> None:
    retriever.index(DOCUMENTS, provenance(DOCUMENTS))

    odd, _ = retriever.search(["a query"], 10, Where(sources=("odd",)))
    early, scores = retriever.search(["a query"], 10, Where(created_before=START + timedelta(days=3)))
    both, _ = retriever.search(["a query"], 10, Where(sources=("even",), created_from=START + timedelta(days=7)))

    assert sorted(odd[0].tolist()) == [-1] * 5 + [1, 3, 5, 7, 9]
    assert sorted(early[0].tolist()) == [-1] * 7 + [0, 1, 2]
    assert early[0, 3:].tolist() == [-1] * 7
    assert np.isneginf(scores[0, 3:]).all()
    assert sorted(set(both[0].tolist())) == [-1, 8]


def test_payloads_follow_without_embedding(retriever: QdrantBiEncoder, encoder: Encoder) -> None:
    retriever.index(DOCUMENTS, provenance(DOCUMENTS))
    encoder.embedded.clear()

    retriever.index(DOCUMENTS, provenance(DOCUMENTS, sources=[["new"]] * 10))

    assert set(encoder.embedded) == {"dimension"}
    assert (retriever.search(["a query"], 10, Where(sources=("new",)))[0] >= 0).all()


def test_no_text_is_kept(tmp_path: Path, encoder: Encoder) -> None:
    retriever = in_folder(tmp_path, encoder)
    retriever.index(["Marmalade on the mat"], provenance(["Marmalade on the mat"]))
    retriever.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"person 0" in kept
    assert b"armalade" not in kept


def test_a_persons_vectors_go_from_the_collections_of_every_model(tmp_path: Path, encoder: Encoder) -> None:
    other = Encoder()
    other.fingerprint = "0" * 16
    for each in (encoder, other):
        retriever = in_folder(tmp_path, each)
        retriever.index(DOCUMENTS, provenance(DOCUMENTS))
        retriever.close()

    assert in_folder(tmp_path, encoder).forget("person 3") == 2
    again = in_folder(tmp_path, encoder)
    assert again.forget("person 3") == 0
    assert again._open().count() == 9
    again.close()


def test_models_do_not_share_a_collection(tmp_path: Path, encoder: Encoder) -> None:
    other = Encoder()
    other.fingerprint = "0" * 16
    for each in (encoder, other):
        retriever = in_folder(tmp_path, each)
        retriever.index(DOCUMENTS)
        retriever.close()
    assert set(other.embedded) >= set(DOCUMENTS)


def test_the_fingerprint_is_that_of_the_weights_and_not_of_their_place(tmp_path: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(tiny_weights())
    model.save(str(tmp_path / "copy"))
    with torch.no_grad():
        next(iter(model.parameters()))[0, 0] += 0.1
    model.save(str(tmp_path / "changed"))

    same, changed = (BiEncoder(str(tmp_path / name)).fingerprint for name in ("copy", "changed"))

    assert same == BiEncoder(str(tmp_path / "copy")).fingerprint
    assert same != changed


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from(DOCUMENTS), min_size=1, unique=True), min_size=1, max_size=4))
def test_whatever_was_indexed_before_only_the_last_corpus_is_found(
    server: QdrantServer, corpora: list[list[str]]
) -> None:
    retriever = on_server(server, Encoder())
    for corpus in corpora:
        retriever.index(corpus)
    positions, _ = retriever.search(["a query"], 99)
    assert sorted(positions[0].tolist()) == list(range(len(corpora[-1])))
    retriever.close()


# Faults


def test_a_server_that_goes_in_the_middle_loses_and_doubles_nothing(server: QdrantServer, encoder: Encoder) -> None:
    def break_off(method: str, context: grpc.ServicerContext) -> None:
        if server.calls.count("Upsert") == 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")

    server.before = break_off
    retriever = on_server(server, encoder)
    with pytest.raises(IndexUnavailableError, match="RERANKER_RETRIEVAL__QDRANT_URL"):
        retriever.index(DOCUMENTS)
    server.stop()
    with pytest.raises(IndexUnavailableError):
        retriever.index(DOCUMENTS)

    server.before = lambda _method, _context: None
    server.start()
    first = list(encoder.embedded)
    encoder.embedded.clear()
    retriever.close()
    retriever.index(DOCUMENTS)

    assert [text for text in first if text != "dimension"] == DOCUMENTS[:8]
    assert [text for text in encoder.embedded if text != "dimension"] == DOCUMENTS[4:]
    assert sorted(retriever.search(["a query"], 99)[0][0].tolist()) == list(range(10))
    retriever.close()


def test_an_answer_lost_after_the_write_doubles_nothing(server: QdrantServer, encoder: Encoder) -> None:
    retriever = on_server(server, encoder)
    retriever.index(DOCUMENTS[:4])

    def write_and_be_silent(method: str, context: grpc.ServicerContext) -> None:
        if method == "Upsert":
            points = Points(server.kept, server.kept.get_collections().collections[0].name, "memory")
            points.put(*_some_points(DOCUMENTS[4:8], encoder))
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "too late")

    server.before = write_and_be_silent
    with pytest.raises(IndexUnavailableError, match="continues where this one ended"):
        retriever.index(DOCUMENTS)
    server.before = lambda _method, _context: None
    encoder.embedded.clear()
    retriever.index(DOCUMENTS)

    assert set(encoder.embedded) == {"dimension", *DOCUMENTS[8:]}
    assert retriever.search(["a query"], 99)[0].shape == (1, 10)
    retriever.close()


def _some_points(documents: list[str], encoder: Encoder) -> tuple[list[str], np.ndarray, list[dict[str, str]]]:
    from flows.contracts.pair import text_id
    from flows.retrieval.qdrant import _point_id

    ids = [_point_id(text_id(document)) for document in documents]
    return ids, encoder.embed(documents), [{"document_id": text_id(document)} for document in documents]


KILLED = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from flows.retrieval.qdrant import QdrantBiEncoder
from flows.settings import RetrievalSettings, Settings

class Quick:  # needs no torch
    name, fingerprint = "quick", sys.argv[2]

    def embed(self, texts):
        return np.eye(32, dtype=np.float32)[: len(texts)]

def die(done, of):
    if done >= 8:
        os.kill(os.getpid(), signal.SIGKILL)

settings = RetrievalSettings(batch_size=4)
QdrantBiEncoder(Quick(), settings, Path(sys.argv[1]), "test").index(json.loads(sys.argv[3]), on_progress=die)
"""


def test_a_killed_process_leaves_what_it_had_and_its_lock_open(tmp_path: Path, encoder: Encoder) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), encoder.fingerprint, json.dumps(DOCUMENTS)]
    done = subprocess.run(command, cwd=ROOT, timeout=240)
    assert done.returncode == -signal.SIGKILL

    retriever = in_folder(tmp_path, encoder)
    retriever.index(DOCUMENTS)

    assert set(encoder.embedded) == {"dimension", *DOCUMENTS[8:]}
    assert sorted(retriever.search(["a query"], 99)[0][0].tolist()) == list(range(10))
    retriever.close()


def test_the_embedded_folder_serves_one_at_a_time_and_says_so(tmp_path: Path, encoder: Encoder) -> None:
    first, second = in_folder(tmp_path, encoder), in_folder(tmp_path, encoder)
    first.index(DOCUMENTS)
    with pytest.raises(IndexUnavailableError, match="one process at a time"):
        second.index(DOCUMENTS)
    first.close()
    second.index(DOCUMENTS)
    second.close()


def test_a_folder_held_by_another_client_of_qdrant_is_busy_too(tmp_path: Path, encoder: Encoder) -> None:
    from qdrant_client import QdrantClient

    other = QdrantClient(path=str(tmp_path))
    with pytest.raises(IndexUnavailableError, match="in use"):
        in_folder(tmp_path, encoder).index(DOCUMENTS)
    other.close()
    retriever = in_folder(tmp_path, encoder)
    retriever.index(DOCUMENTS)
    retriever.close()


@pytest.mark.parametrize("name", ["meta.json", "storage.sqlite"])
def test_a_damaged_folder_is_named_with_the_remedy(tmp_path: Path, encoder: Encoder, name: str) -> None:
    retriever = in_folder(tmp_path, encoder)
    retriever.index(DOCUMENTS)
    retriever.close()
    path = next(tmp_path.rglob(name))
    path.write_bytes(b"{ this is neither JSON nor SQLite" * 40)

    with pytest.raises(RetrievalError, match="remove the folder") as failure:
        retriever.index(DOCUMENTS)
    assert not isinstance(failure.value, Healable)


def test_a_full_disk_is_no_crash(tmp_path: Path, encoder: Encoder) -> None:
    retriever = in_folder(tmp_path, encoder)
    retriever.index(DOCUMENTS[:4])
    assert retriever._client is not None
    retriever._client._client.collections[retriever._collection].storage.storage.execute("PRAGMA max_page_count = 1")
    with pytest.raises(RetrievalError, match="disk has room"):
        retriever.index([f"{document} {number}" for number in range(20) for document in DOCUMENTS])
    retriever.close()
    retriever.index(DOCUMENTS)
    assert retriever.search(["a query"], 99)[0].shape == (1, 10)
    retriever.close()


def test_a_wrong_key_is_no_matter_of_waiting(encoder: Encoder) -> None:
    server = QdrantServer(api_key="right").start()
    with pytest.raises(RetrievalError, match="QDRANT_API_KEY") as failure:
        on_server(server, encoder, qdrant_api_key="wr0ng").index(DOCUMENTS)
    assert not isinstance(failure.value, Healable)
    assert "wr0ng" not in str(failure.value)
    allowed = on_server(server, encoder, qdrant_api_key="right")
    allowed.index(DOCUMENTS)
    allowed.close()
    server.stop()


def test_a_collection_of_another_dimension_is_no_matter_of_waiting(server: QdrantServer, encoder: Encoder) -> None:
    retriever = on_server(server, encoder)
    other = models.VectorParams(size=7, distance=models.Distance.DOT)
    server.kept.create_collection(retriever._collection, vectors_config=other)
    with pytest.raises(RetrievalError, match=r"vectors of 7 numbers.*gives 32.*COLLECTION") as failure:
        retriever.index(DOCUMENTS)
    assert not isinstance(failure.value, Healable)
    retriever.close()


def test_too_many_requests_are_a_matter_of_waiting(server: QdrantServer, encoder: Encoder) -> None:
    def refuse(_method: str, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("retry-after", "7"),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")

    server.before = refuse
    retriever = on_server(server, encoder)
    with pytest.raises(IndexUnavailableError, match="7 s: slow down"):
        retriever.index(DOCUMENTS)
    retriever.close()


def test_a_server_that_hangs_is_given_up(server: QdrantServer, encoder: Encoder) -> None:
    import threading

    released = threading.Event()
    server.before = lambda method, _context: released.wait(30) and None if method == "Upsert" else None
    retriever = on_server(server, encoder, qdrant_timeout_seconds=1)
    with pytest.raises(IndexUnavailableError, match="DEADLINE_EXCEEDED"):
        retriever.index(DOCUMENTS)
    released.set()
    retriever.close()


@pytest.mark.parametrize("other", [DOCUMENTS[:3], [*DOCUMENTS[:-1], "another text"], [*DOCUMENTS, "one more"]])
def test_two_runs_with_different_corpora_notice_each_other(
    server: QdrantServer, encoder: Encoder, other: list[str]
) -> None:
    first, second = on_server(server, encoder), on_server(server, encoder)
    first.index(DOCUMENTS)
    second.index(other)
    with pytest.raises(IndexUnavailableError, match="changed by another run"):
        first.search(["a query"], 99)
    with pytest.raises(RetrievalError, match="call index"):
        first.search(["a query"], 99)
    first.close()
    second.close()


def test_a_collection_that_is_made_in_the_same_moment(server: QdrantServer, encoder: Encoder) -> None:
    first = on_server(server, encoder)

    def make(method: str, _context: grpc.ServicerContext) -> None:
        if method == "Create":
            params = models.VectorParams(size=32, distance=models.Distance.DOT)
            server.kept.create_collection(first._collection, vectors_config=params)

    server.before = make
    first.index(DOCUMENTS)
    assert first.search(["a query"], 99)[0].shape == (1, 10)
    first.close()


# The choice by settings


def test_where_the_vectors_lie_is_a_setting(tmp_path: Path) -> None:
    dense = {"kind": "bi-encoder", "bi_encoder": tiny_weights()}
    embedded = open_retriever(RetrievalSettings(**dense), tmp_path)
    assert isinstance(embedded, QdrantBiEncoder)
    assert isinstance(open_retriever(RetrievalSettings(**dense)), BiEncoder)
    assert isinstance(open_retriever(RetrievalSettings(**dense, index="memory"), tmp_path), BiEncoder)
    embedded.index(DOCUMENTS)
    assert embedded.search(["a query"], 2)[0].shape == (1, 2)
    embedded.close()


def test_the_profile_aws_wants_a_server() -> None:
    with pytest.raises(ValidationError, match="RERANKER_RETRIEVAL__QDRANT_URL"):
        Settings(profile="aws")
    for retrieval in (RetrievalSettings(index="memory"), RetrievalSettings(qdrant_url="https://qdrant.internal")):
        assert Settings(profile="aws", retrieval=retrieval).retrieval == retrieval


def test_the_corpus_of_pairs_names_each_document_once() -> None:
    rows = [
        {"query_id": "q1", "document_id": "d2", "document": "B", "source": "x", "subject_id": "p"},
        {"query_id": "q2", "document_id": "d1", "document": "A", "source": "x", "subject_id": None},
        {"query_id": "q3", "document_id": "d2", "document": "b", "source": "w", "subject_id": "o"},
    ]
    shared = {"query": "q", "relevance": 1, "grade": None, "split": "train"}
    pairs = [{**row, **shared, "created_at": START + timedelta(days=day)} for day, row in enumerate(rows)]

    corpus = corpus_of(pa.Table.from_pylist(pairs, SNAPSHOT_SCHEMA)).to_pylist()

    assert corpus == [
        {
            "document_id": "d1",
            "document": "A",
            "sources": ["x"],
            "created_at": START + timedelta(days=1),
            "subject_ids": [],
        },
        {
            "document_id": "d2",
            "document": "B",
            "sources": ["w", "x"],
            "created_at": START + timedelta(days=2),
            "subject_ids": ["o", "p"],
        },
    ]


@pytest.mark.parametrize("content", ["null", "[]", '{"collections": {"reranker-training": 5}, "aliases": {}}'])
def test_a_folder_with_other_content_is_damaged(tmp_path: Path, encoder: Encoder, content: str) -> None:
    (tmp_path / "meta.json").write_text(content, "utf-8")
    with pytest.raises(RetrievalError, match="remove the folder"):
        in_folder(tmp_path, encoder).index(DOCUMENTS)
