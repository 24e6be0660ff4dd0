"""The benchmark itself: it must deal fairly, count right, and come to an end."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.contracts.pair import PAIR_SCHEMA
from tests.benchmarks.drift import embeddings, order, year
from tests.benchmarks.drift.__main__ import main
from tests.benchmarks.drift.changes import CHANGES, FLIPPED, LONGER, QUIET, lengthened, topics
from tests.benchmarks.drift.history import BLOCK, History, TooShort
from tests.benchmarks.drift.order import shuffled
from tests.benchmarks.drift.others import cosine_distance, psi
from tests.benchmarks.drift.rates import clopper_pearson, per_year, share
from tests.benchmarks.drift.report import promises
from tests.benchmarks.drift.windows import ALL, TEXT, Finding, cells, watch_name

START = datetime(2025, 1, 6, tzinfo=UTC)
TOPICS = ("arrays", "tables", "models", "tensors")
DOCUMENTS = 10


def made_up(queries: int = 400) -> pa.Table:
    """Return pairs of four topics, each with words of its own among common ones."""
    rng = np.random.default_rng(0)
    common = [f"common{letter}" for letter in "abcdefghijklmnopqrst"]
    own = {topic: [f"{topic}{letter}" for letter in "abcdefghij"] for topic in TOPICS}
    rows = []
    for number in range(queries):
        topic = str(rng.choice(TOPICS, p=[0.4, 0.25, 0.2, 0.15]))
        words = common + 2 * own[topic]
        query = f"{' '.join(rng.choice(words, 6))} number{number}"
        for rank in range(DOCUMENTS):
            document = " ".join(rng.choice(words, rng.integers(8, 20)))
            rows.append((f"{number:04}", query, document, int(rank < 2), topic, START + timedelta(hours=number)))
    names = ("query_id", "query", "document", "relevance", "source", "created_at")
    schema = pa.schema([pa.field("query_id", pa.string()), *(PAIR_SCHEMA.field(name) for name in names[1:])])
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=schema)


@pytest.fixture(scope="module")
def held() -> History:
    return History(made_up())


def test_a_deal_keeps_its_sides_apart_and_its_blocks_whole(held: History) -> None:
    deal = held.deal([100, 500], 4, np.random.default_rng(1))
    assert [len(window) for window in deal.windows[500]] == [50]
    assert [len(window) for window in deal.windows[100]] == [10] * 4
    small, large = (np.concatenate(deal.windows[rows]) for rows in (100, 500))
    assert len(set(small)) == 40
    assert set(small) <= set(large)
    assert set(deal.reference) == set(range(held.queries)) - set(large)
    assert all(np.ptp(window) > len(window) for window in deal.windows[500])
    for block in np.split(np.sort(large), len(large) // BLOCK):
        assert block[0] % BLOCK == 0
        assert np.ptp(block) == BLOCK - 1


def test_deals_differ_and_come_again(held: History) -> None:
    first, again, other = (held.deal([500], 1, np.random.default_rng(seed)).windows[500][0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert set(first) != set(other)


def test_held_out_topics_are_nowhere_else(held: History) -> None:
    deal = held.deal([500], 1, np.random.default_rng(3), hold_out=0.5)
    out = set(held.sources[deal.held_out])
    assert out
    assert "arrays" not in out
    assert not out & set(held.sources[deal.reference])
    assert not out & set(held.sources[deal.windows[500][0]])
    assert len(deal.held_out) >= 25


def test_newcomers_are_what_replaces(tmp_path: Path) -> None:
    History(made_up(), ["tensors"]).save(tmp_path / "pairs.parquet")
    held = History.read(tmp_path / "pairs.parquet")
    deal = held.deal([500], 1, np.random.default_rng(3), hold_out=0.5)
    assert set(held.sources[deal.held_out]) == {"tensors"}
    assert "tensors" not in set(held.sources[held.known])
    assert set(held.sources[deal.reference]) == {"arrays", "tables", "models"}


def test_too_little_history_is_said() -> None:
    with pytest.raises(TooShort):
        History(made_up(30)).deal([500], 1, np.random.default_rng(0))


def test_changes_do_what_they_are_called(held: History) -> None:
    rng = np.random.default_rng(5)
    deal = held.deal([500], 1, rng, hold_out=0.5)
    window = deal.windows[500][0]
    plain = held.table(window)
    changed = {name: change(held, window, deal.held_out, rng) for name, change in CHANGES.items()}
    assert all(rows.num_rows == plain.num_rows for rows in changed.values())
    strangers = np.isin(changed[topics(0.2)]["source"].to_pylist(), sorted(set(held.sources[deal.held_out])))
    assert strangers.mean() == pytest.approx(0.2)

    def words(rows: pa.Table) -> int:
        return sum(len(text.split()) for text in rows["document"].to_pylist())

    assert words(changed[LONGER]) / words(plain) == pytest.approx(1.2, abs=0.02)
    before, after = (
        dict(
            zip(
                zip(rows["query"].to_pylist(), rows["document"].to_pylist(), strict=True),
                rows["relevance"].to_pylist(),
                strict=True,
            )
        )
        for rows in (plain, changed[FLIPPED])
    )
    assert sum(before[pair] != after[pair] for pair in before) == len(before) / 5


def test_a_shuffle_moves_blocks(held: History) -> None:
    order = shuffled(held.known, 1, seed=0)
    assert sorted(order) == list(held.known)
    assert (shuffled(held.known, 0, seed=0) == held.known).all()
    assert all((np.diff(block) == 1).all() for block in order.reshape(-1, BLOCK))
    assert (order != held.known).mean() > 0.9


def test_texts_are_embedded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        asked.extend(texts)
        return np.array([[len(text), sum(text.encode())] for text in texts], np.float32)

    monkeypatch.setattr(embeddings, "embedder", lambda: encode)
    first, both = History(made_up(20)), History(made_up(40))
    embeddings.embed([first], tmp_path)
    embeddings.embed([both], tmp_path)
    embeddings.embed([first, both], tmp_path)
    assert len(asked) == len(set(asked))
    found = embeddings.Embeddings.read(tmp_path)
    texts = [text for text in both.rows["document"].to_pylist() for text in (text, lengthened(text))]
    assert (found(texts) == encode(texts)).all()
    with pytest.raises(KeyError):
        found(["never seen"])


def test_intervals() -> None:
    assert clopper_pearson(0, 100) == pytest.approx((0, 0.0362), abs=1e-4)
    assert clopper_pearson(88, 100) == pytest.approx((0.7998, 0.9364), abs=1e-4)
    alone = share([[True]] * 5 + [[False]] * 95)
    assert (alone.low, alone.high) == pytest.approx(clopper_pearson(5, 100))
    together = share([[True] * 5] + [[False] * 5] * 19)
    assert (together.low, together.high) == pytest.approx(clopper_pearson(1, 20))
    assert share([[False] * 5] * 20).high == pytest.approx(clopper_pearson(0, 20)[1])
    assert (per_year(0, 40).low, per_year(0, 40).high) == pytest.approx((0, 3.689 / 40), abs=1e-4)
    assert (per_year(10, 100).low, per_year(10, 100).high) == pytest.approx((0.0480, 0.1839), abs=1e-4)


def test_an_alarm_counts_once() -> None:
    red = [False, True, False, True, True, True, False, False, False, False, True, True, False]
    assert year.alarms(red) == 2
    assert year.alarms([False, True, False, False, True, False]) == 0


def test_other_methods_measure() -> None:
    rng = np.random.default_rng(0)
    quiet, moved = rng.normal(size=5000), rng.normal(loc=1, size=5000)
    assert psi(quiet, rng.normal(size=5000)) < 0.02
    assert psi(quiet, moved) > 0.5
    assert cosine_distance(np.array([1.0, 0]), np.array([2.0, 0])) == pytest.approx(0)
    assert cosine_distance(np.array([1.0, 0]), np.array([0, 3.0])) == pytest.approx(1)
    assert cosine_distance(np.array([1.0, 0]), np.array([0.0, 0])) == 1


def test_a_year_is_held_against_its_promise() -> None:
    years = [year.Year("made up", 500, 0.01, 52, red=1, alarms=int(number < 4)) for number in range(30)]
    (line,) = year.lines(years)
    assert line.value == pytest.approx(4 / 30)
    assert line.held is False
    (line,) = year.lines(years[4:])
    assert (line.value, line.held) == (0, True)


def test_the_real_order_stands_beside_the_random_one() -> None:
    walk = [
        order.Step(500, 0.01, n, shuffle, "2025-01-06", not shuffle, ()) for shuffle in range(3) for n in range(4)
    ]
    real, random = order.lines(walk)
    assert (real.value, real.of, random.value, random.of) == (100, 4, 0, 8)


@pytest.mark.parametrize(
    ("change", "alarms", "kept"),
    [(QUIET, 1, True), (QUIET, 9, False), (topics(0.2), 95, True), (topics(0.2), 94, False)],
)
def test_promises_are_held_against_the_windows_they_are_about(change: str, alarms: int, kept: bool) -> None:
    method = watch_name(0.01)
    found = [Finding("made up", ALL, 500, change, method, deal, deal < alarms) for deal in range(100)]
    elsewhere = [Finding("made up", TEXT, 500, change, method, deal, deal < 50) for deal in range(100)]
    lines = promises(cells([*found, *elsewhere]))
    assert [line.held for line in lines] == [kept, None]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_part_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(made_up(), tmp_path / "pairs.parquet")
    options = {"semeval": "pairs.parquet", "json": "out/drift.json", "plot": "out/drift.svg"}
    paths = [word for name, file in options.items() for word in (f"--{name}", str(tmp_path / file))]
    status = main([*paths, "--quick", "--jobs", "1"])
    report = json.loads((tmp_path / "out/drift.json").read_text())
    assert status == int(any(line["held"] is False for line in report["lines"]))
    assert {line["part"] for line in report["lines"]} == {
        "machine",
        "scale",
        "quiet",
        "drift",
        "order",
        "year",
    }
    assert {cell["change"] for cell in report["cells"]} == {QUIET, *CHANGES}
    assert len({cell["method"] for cell in report["cells"]}) == 8
    assert report["scale"]["reference_rows"] == report["scale"]["window_rows"] == 20_000
    assert "<svg" in (tmp_path / "out/drift.svg").read_text()
    assert "20 % other topics" in capsys.readouterr().out
