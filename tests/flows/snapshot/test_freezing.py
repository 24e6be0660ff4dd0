"""A snapshot is complete, named by its content, and written once."""

import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flows.contracts.pair import PAIR_SCHEMA
from flows.contracts.snapshot import SNAPSHOT_SCHEMA, SPLITS, Snapshot
from flows.settings import CleaningSettings
from flows.snapshot import content_digest, freeze
from flows.snapshot import freezing as freezing_module

SETTINGS = CleaningSettings()


@pytest.fixture
def batches(batch, lists):
    return [batch(*lists(30, candidates=8))]


def test_a_snapshot_holds_what_its_manifest_says(batches, now, tmp_path):
    frozen = freeze(batches, SETTINGS, tmp_path, {"store": "sqlite"}, now)
    snapshot = Snapshot(tmp_path / frozen.snapshot.digest)
    manifest = snapshot.manifest
    assert frozen.created
    assert snapshot.table().schema == SNAPSHOT_SCHEMA
    assert content_digest(snapshot.table()) == manifest.digest == snapshot.digest
    assert manifest.lineage == {"store": "sqlite"}
    assert manifest.cleaning == frozen.counts
    assert manifest.cleaning.read == 240 == manifest.cleaning.kept + sum(manifest.cleaning.dropped.values())
    assert manifest.cleaning.kept == snapshot.table().num_rows == sum(manifest.sources.values())
    assert (manifest.first_pair_at, manifest.last_pair_at) == (
        pc.min(snapshot.table()["created_at"]).as_py(),
        pc.max(snapshot.table()["created_at"]).as_py(),
    )
    for side in SPLITS:
        table, counts = snapshot.table(side), manifest.splits[side]
        assert set(table["split"].to_pylist()) == {side}
        assert counts.pairs == table.num_rows
        assert counts.queries == len(set(table["query_id"].to_pylist()))
        assert counts.positives == sum(table["relevance"].to_pylist())


def test_the_same_content_is_frozen_once(batches, now, tmp_path):
    first = freeze(batches, SETTINGS, tmp_path, {"run": 1}, now)
    second = freeze([*batches, *batches], SETTINGS, tmp_path, {"run": 2}, now)
    assert second.snapshot.folder == first.snapshot.folder
    assert (first.created, second.created) == (True, False)
    assert second.snapshot.manifest.lineage == {"run": 1}
    assert second.counts.dropped["duplicate"] == 240
    assert [path.name for path in tmp_path.iterdir()] == [first.snapshot.digest]


def test_any_difference_gives_another_digest(batch, lists, now, tmp_path):
    rows = lists(30)
    digests = {freeze([batch(*rows)], SETTINGS, tmp_path, {}, now).snapshot.digest}
    for number, change in enumerate(
        [{"grade": 1}, {"source": "x"}, {"subject_id": "me"}, {"document": "x"}, {"relevance": 1}], start=1
    ):
        changed = [*rows[:-1], rows[-1] | change]
        digests.add(freeze([batch(*changed)], SETTINGS, tmp_path, {}, now).snapshot.digest)
        assert len(digests) == number + 1


def test_the_digest_knows_where_one_text_ends_and_null_from_empty():
    def digest(*texts):
        return content_digest(pa.table({"text": pa.array(texts, pa.string())}))

    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc", ""), digest("abc", None), digest("abc")}) == 5


def test_the_digest_ignores_chunks():
    table = pa.table({"text": ["a", None, "bc", "ü"], "number": [1, None, 3, 4]})
    pieces = pa.concat_tables([table.slice(0, 1), table.slice(1, 0), table.slice(1, 3)])
    assert content_digest(pieces) == content_digest(table)


def test_the_digest_is_the_same_in_years_to_come():
    """A changed digest would make every finished run look new: change this number only on purpose."""
    table = pa.table({"text": pa.array(["a", None, "bü"]), "number": pa.array([1, None, -3], pa.int8())})
    assert content_digest(table) == "91bdbfc00944d864e29f828be4e110d02f0807fb5dfb6540e09016608b9e4660"


def test_a_write_that_fails_leaves_nothing_behind(batches, now, tmp_path, monkeypatch):
    def disk_full(*args, **kwargs):
        Path(args[1]).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(freezing_module.pq, "write_table", disk_full)
        with pytest.raises(OSError, match="No space left"):
            freeze(batches, SETTINGS, tmp_path, {}, now)
    assert list(tmp_path.iterdir()) == []
    assert freeze(batches, SETTINGS, tmp_path, {}, now).created


def test_a_process_that_is_slower_takes_the_snapshot_of_the_faster(batches, now, tmp_path, monkeypatch):
    """The other one finishes after this one has looked and before it renames."""
    elsewhere = freeze(batches, SETTINGS, tmp_path / "elsewhere", {"by": "other"}, now).snapshot
    write = freezing_module._flush_to_disk

    def overtaken(*files):
        write(*files)
        shutil.copytree(elsewhere.folder, tmp_path / "here" / elsewhere.digest)

    monkeypatch.setattr(freezing_module, "_flush_to_disk", overtaken)
    frozen = freeze(batches, SETTINGS, tmp_path / "here", {"by": "this"}, now)
    assert not frozen.created
    assert frozen.snapshot.manifest.lineage == {"by": "other"}
    assert [path.name for path in (tmp_path / "here").iterdir()] == [elsewhere.digest]


def _freeze_in_another_process(rows, folder, moment):
    batch = pa.RecordBatch.from_pylist(rows, schema=PAIR_SCHEMA)
    frozen = freeze([batch], SETTINGS, folder, {}, moment)
    return frozen.snapshot.digest, frozen.created


@pytest.mark.slow
def test_two_processes_at_once_write_one_snapshot(batches, now, tmp_path):
    rows = batches[0].to_pylist()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        results = [pool.submit(_freeze_in_another_process, rows, tmp_path, now) for _ in range(8)]
        digests = {result.result()[0] for result in results}
    assert len(digests) == 1
    assert sum(result.result()[1] for result in results) == 1
    assert [path.name for path in tmp_path.iterdir()] == list(digests)
    assert content_digest(Snapshot(tmp_path / digests.pop()).table()) in {path.name for path in tmp_path.iterdir()}
