"""How many processors are seen in which cgroup."""

import os
from pathlib import Path

import pytest

from bento.processors import available_processors

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", ALL),
        ("50000 100000", 1),
        ("100000 100000", 1),
        (f"{ALL}00000 100000", ALL),
        ("9900000 100000", ALL),
    ],
)
def test_respects_the_limit_of_cgroup_v2(tmp_path: Path, limit: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(limit + "\n")
    assert available_processors(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", ALL), ("20000", 1)])
def test_respects_the_limit_of_cgroup_v1(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_processors(tmp_path) == expected


def test_without_a_cgroup_all_are_available(tmp_path: Path) -> None:
    assert available_processors(tmp_path) == ALL
