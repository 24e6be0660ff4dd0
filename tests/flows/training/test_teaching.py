"""What students learn from: the lists, the teacher's scores on them, and the rows for each loss."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.contracts.snapshot import Snapshot
from flows.retrieval.bm25 import Bm25
from flows.settings import StudentSettings
from flows.training.teaching import Lesson, fingerprint, lesson_rows, make_lessons, teach

SETTINGS = StudentSettings(list_size=4, retrieved_documents=2, random_documents=1)


class Teacher:
    """Scores by the length of the texts, and counts the pairs it is asked about."""

    name = "teacher"

    def __init__(self) -> None:
        self.asked = 0

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked += len(queries)
        return np.array([len(q) - 0.5 * len(d) for q, d in zip(queries, documents, strict=True)], np.float32)


@pytest.fixture
def table(snapshot: Snapshot) -> pa.Table:
    return snapshot.table("train")


def documents_of(lessons: Sequence[Lesson]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for lesson in lessons:
        found.setdefault(lesson.query, []).extend(lesson.documents)
    return found


def test_every_labelled_document_is_in_a_list_with_its_label(table: pa.Table) -> None:
    lessons = make_lessons(table, SETTINGS, Bm25(), seed=1)

    told = {
        (lesson.query, document): relevant
        for lesson in lessons
        for document, relevant in zip(lesson.documents, lesson.relevant, strict=True)
    }
    for row in table.to_pylist():
        assert told[row["query"], row["document"]] == bool(row["relevance"])
    assert len(told) > table.num_rows
    assert sum(told.values()) == pc.sum(table["relevance"]).as_py()


def test_unlabelled_documents_come_from_the_split_and_never_twice(table: pa.Table) -> None:
    corpus = set(table["document"].to_pylist())
    labelled = documents_of(
        make_lessons(table, SETTINGS.model_copy(update={"retrieved_documents": 0, "random_documents": 0}), None, 1)
    )
    for query, documents in documents_of(make_lessons(table, SETTINGS, Bm25(), seed=1)).items():
        assert len(set(documents)) == len(documents)
        assert set(documents) <= corpus
        assert 2 <= len(documents) - len(labelled[query]) <= 3  # two are found; the one that is drawn may be known


def test_the_retriever_adds_what_it_finds_first(table: pa.Table) -> None:
    alone = SETTINGS.model_copy(update={"random_documents": 0, "retrieved_documents": 1})
    documents = documents_of(make_lessons(table, alone, Bm25(), seed=1))
    plain = documents_of(make_lessons(table, alone, None, seed=1))

    engine = Bm25()
    corpus = sorted(set(table["document"].to_pylist()))
    engine.index(corpus)
    for query, known in plain.items():
        (extra,) = set(documents[query]) - set(known)
        others = [document for document in corpus if document not in known]
        best = max(engine.score([query] * len(others), others))
        assert engine.score([query], [extra])[0] == pytest.approx(best)


def test_lists_are_no_longer_than_they_may_be_and_the_same_again(table: pa.Table) -> None:
    lessons = make_lessons(table, SETTINGS, Bm25(), seed=1)
    assert {len(lesson.documents) for lesson in lessons} <= {2, 3, 4}
    assert make_lessons(table, SETTINGS, Bm25(), seed=1) == lessons
    assert make_lessons(table, SETTINGS, Bm25(), seed=2) != lessons


@pytest.mark.parametrize("most", [8, 40, 100])
def test_no_more_pairs_than_the_settings_allow(most: int, table: pa.Table) -> None:
    lessons = make_lessons(table, SETTINGS.model_copy(update={"max_pairs": most}), Bm25(), seed=1)
    assert most - 8 <= sum(len(lesson.documents) for lesson in lessons) <= most  # a query has at most eight


def test_an_empty_split_gives_no_lists(table: pa.Table) -> None:
    assert make_lessons(table.slice(0, 0), SETTINGS, Bm25(), seed=1) == []


def test_the_teacher_is_asked_once_about_each_pair(table: pa.Table, tmp_path: Path) -> None:
    lessons = make_lessons(table, SETTINGS, Bm25(), seed=1)
    teacher, told = Teacher(), list[tuple[int, int]]()
    first = teach(lessons, teacher, 10, tmp_path / "teacher" / "scores.npy", lambda *now: told.append(now))
    again = teach(lessons, teacher, 10, tmp_path / "teacher" / "scores.npy")

    pairs = sum(len(lesson.documents) for lesson in lessons)
    assert teacher.asked == pairs
    assert told[-1] == (pairs, pairs)
    assert [path.name for path in (tmp_path / "teacher").iterdir()] == ["scores.npy"]
    for lesson, one, two in zip(lessons, first, again, strict=True):
        expected = Teacher().score([lesson.query] * len(lesson.documents), lesson.documents)
        np.testing.assert_array_equal(one, expected)
        np.testing.assert_array_equal(two, expected)


def many(count: int) -> list[Lesson]:
    return [Lesson(f"query {i}", ["one", "other", "a third"], [True, False, False]) for i in range(count)]


def test_a_teacher_without_time_teaches_what_it_can(tmp_path: Path) -> None:
    lessons, teacher = many(1_000), Teacher()
    logits = teach(lessons, teacher, 0, tmp_path / "scores.npy")

    assert 0 < len(logits) < 1_000
    assert teacher.asked < 3_000
    assert {len(given) for given in logits} == {3}
    assert len(lesson_rows(lessons, logits, SETTINGS)) == len(logits)
    teach(lessons, teacher, 10, tmp_path / "scores.npy")
    assert teacher.asked < 3_000, "students of other depths learn from the same"


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY torn", b"no array at all"])
def test_damaged_scores_are_made_anew(content: bytes, tmp_path: Path) -> None:
    file, teacher = tmp_path / "scores.npy", Teacher()
    file.write_bytes(content)
    assert len(teach(many(4), teacher, 10, file)) == 4
    assert teacher.asked == 12


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(13, np.float32),
        np.zeros((4, 3), np.float32),
        np.zeros(12),
        np.zeros(0, np.float32),
        np.full(12, np.nan, np.float32),
    ],
)
def test_scores_that_cannot_be_these_are_made_anew(wrong: npt.NDArray[np.floating], tmp_path: Path) -> None:
    file = tmp_path / "scores.npy"
    np.save(file, wrong)
    assert teach(many(4), Teacher(), 10, file)[0][0] == pytest.approx(len("query 0") - 1.5)


def test_the_fingerprint_knows_the_teacher_and_every_text() -> None:
    lessons = many(3)
    others = [
        fingerprint(lessons, "b"),
        fingerprint(lessons[:2], "a"),
        fingerprint(lessons[::-1], "a"),
        fingerprint([*lessons[:2], Lesson("query 2", ["one", "other", "a thirD"], [True, False, False])], "a"),
        fingerprint([*lessons[:2], Lesson("query 2", ["oneo", "ther", "a third"], [True, False, False])], "a"),
    ]
    assert len({fingerprint(lessons, "a"), *others}) == 6
    assert fingerprint(many(3), "a") == fingerprint(lessons, "a")


logits = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=9)


@given(logits, st.floats(0, 1))
def test_listwise_targets_mix_the_teachers_softmax_with_the_labels(values: list[float], hard_share: float) -> None:
    settings = StudentSettings(loss="listwise", hard_share=hard_share)
    relevant = [i < 2 for i in range(len(values))]
    lesson = Lesson("q", [str(i) for i in range(len(values))], relevant)
    (row,) = lesson_rows([lesson], [np.array(values, np.float32)], settings)

    # What ListNet makes of the labels: their softmax.
    labels = np.array(row["labels"])
    target = np.exp(labels - labels.max()) / np.exp(labels - labels.max()).sum()
    soft = np.exp(np.array(values) - max(values))
    expected = (1 - hard_share) * soft / soft.sum() + hard_share * np.array(relevant) / 2
    np.testing.assert_allclose(target, expected, atol=1e-6)
    assert row["documents"] == lesson.documents


def test_labels_count_for_nothing_where_no_document_is_relevant() -> None:
    lesson = Lesson("q", ["a", "b"], [False, False])
    given_logits = [np.array([1.0, 0.0], np.float32)]
    mixed, plain = (
        lesson_rows([lesson], given_logits, StudentSettings(loss="listwise", hard_share=share)) for share in (0.5, 0)
    )
    assert list(mixed) == list(plain)


@given(logits)
def test_margins_are_the_teachers_and_use_each_document_once(values: list[float]) -> None:
    lesson = Lesson("q", [str(i) for i in range(len(values))], [False] * len(values))
    rows = lesson_rows([lesson], [np.array(values, np.float32)], StudentSettings(loss="margin-mse"))

    assert len(rows) == len(values) // 2
    used = [row[side] for row in rows for side in ("one", "other")]
    assert len(set(used)) == len(used)
    for row in rows:
        assert row["label"] == pytest.approx(values[int(row["one"])] - values[int(row["other"])], abs=1e-4)


@given(logits)
def test_mse_learns_each_score_as_it_is(values: list[float]) -> None:
    lesson = Lesson("q", [str(i) for i in range(len(values))], [False] * len(values))
    rows = lesson_rows([lesson], [np.array(values, np.float32)], StudentSettings(loss="mse"))
    assert [(row["document"], row["label"]) for row in rows] == [
        (str(i), pytest.approx(v)) for i, v in enumerate(values)
    ]


def test_labels_beside_scores_are_refused_where_no_loss_mixes_them() -> None:
    with pytest.raises(ValueError, match="set hard_share to 0"):
        StudentSettings(loss="mse", hard_share=0.1)
