"""The drift watch: has the text changed since the champion learned it, or is this an ordinary week?

`watch` compares the newest window with the champion's training snapshot, channel by channel, and holds each
difference against quiet windows drawn from the snapshot itself. No threshold is a fixed number.
"""

from flows.drift.monitor import judge, watch
from flows.drift.period import select_window
from flows.drift.report import ChannelResult, DriftReport, PeriodSummary, Shift, Verdict

__all__ = [
    "ChannelResult",
    "DriftReport",
    "PeriodSummary",
    "Shift",
    "Verdict",
    "judge",
    "select_window",
    "watch",
]
