"""A verdict on a reference that nobody has profiled yet."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from flows.drift import DriftReport, Profile, Window, judge, watch
from flows.settings import DriftSettings


def judge_afresh(reference: pa.Table, window: pa.Table, settings: DriftSettings) -> DriftReport:
    """Fit a profile and judge one window against it, without embeddings or scores."""
    return judge(Profile.fit(reference, settings), window, settings)


def watch_afresh(reference: pa.Table, window: pa.Table, settings: DriftSettings, folder: Path) -> DriftReport:
    """Do the same and write the report; every window looks like this one."""
    profile = Profile.fit(reference, settings)
    read = Window(window)
    return watch(profile, lambda until: read, datetime(2025, 6, 1, tzinfo=UTC), settings, folder)
