"""The drift watch: has the text changed since the champion learned it, or is this an ordinary week?

A `Profile` is what is known of the champion's training snapshot. `judge` holds a window against it, channel by
channel, and each difference against quiet windows drawn from the snapshot itself: no threshold is a fixed number,
unless the settings say so. `watch` does that for the newest windows and writes the report.
"""

from flows.drift.judging import judge
from flows.drift.period import Encode, Score, select_window
from flows.drift.profile import Profile, UnreadableProfileError
from flows.drift.report import ChannelResult, DriftReport, Measure, PeriodSummary, Shift, Traffic, Verdict
from flows.drift.reservoir import reservoir
from flows.drift.watching import Window, watch

__all__ = [
    "ChannelResult",
    "DriftReport",
    "Encode",
    "Measure",
    "PeriodSummary",
    "Profile",
    "Score",
    "Shift",
    "Traffic",
    "UnreadableProfileError",
    "Verdict",
    "Window",
    "judge",
    "reservoir",
    "select_window",
    "watch",
]
