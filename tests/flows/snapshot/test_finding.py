"""Snapshots are found by the beginning of their name."""

from datetime import timedelta

import pytest

from flows.settings import CleaningSettings
from flows.snapshot import SnapshotError, find, freeze

SETTINGS = CleaningSettings()


def test_found_by_name_or_as_the_newest(batch, lists, now, tmp_path):
    older = freeze([batch(*lists(30))], SETTINGS, tmp_path, {}, now).snapshot
    newer = freeze([batch(*lists(31))], SETTINGS, tmp_path, {}, now + timedelta(hours=1)).snapshot
    (tmp_path / newer.digest).rename(tmp_path / ".draft-of-a-killed-run")
    assert find(tmp_path).digest == older.digest
    (tmp_path / ".draft-of-a-killed-run").rename(tmp_path / newer.digest)
    assert find(tmp_path).digest == newer.digest
    assert find(tmp_path, older.digest[:12]).folder == tmp_path / older.digest


def test_nothing_found_says_what_to_do(tmp_path):
    with pytest.raises(SnapshotError, match="Freeze one"):
        find(tmp_path)
    with pytest.raises(SnapshotError, match="begins with abc"):
        find(tmp_path, "abc")


def test_a_name_that_fits_two_is_refused(tmp_path):
    for name in ("abc1", "abc2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    with pytest.raises(SnapshotError, match="2 snapshots begin with abc"):
        find(tmp_path, "abc")
