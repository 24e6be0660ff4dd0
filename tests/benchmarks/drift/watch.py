"""The only place that knows how the drift watch is called."""

import pyarrow as pa

from flows.drift import DriftReport, Encode, Profile, judge
from flows.settings import DriftSettings

SETTINGS = DriftSettings(min_rows=50, min_queries=5)
"""The product's defaults, but for the two limits: small windows shall be measured too, not refused."""
ALARM_WINDOWS, WATCHED_WINDOWS = SETTINGS.alarm_windows, SETTINGS.watched_windows
"""An alarm is so many red windows among the last so many."""
WEIGHTS = "carried:minilm"


class Watch:
    """The watch, fitted on a reference."""

    def __init__(self, reference: pa.Table, encode: Encode | None, settings: DriftSettings = SETTINGS) -> None:
        self._settings = settings
        self._encode = encode
        self._profile = Profile.fit(reference, settings, encode)

    def judge(self, window: pa.Table, rate: float) -> DriftReport:
        """Return the report on `window` at a false alarm rate of `rate`."""
        settings = self._settings.model_copy(update={"false_alarm_rate": rate})
        return judge(self._profile, window, settings, self._encode)


def embedder() -> Encode:
    """Open the model that gives the watch its sentence embeddings."""
    from flows.retrieval.bi_encoder import BiEncoder

    return BiEncoder(WEIGHTS).embed
