"""What is watched, and what a watch may start."""

import hashlib
import json
from typing import Literal, Self

from pydantic import Field, model_validator

from flows.settings.section import Section


class DriftSettings(Section):
    """The drift watch."""

    mode: Literal["calibrated", "fixed"] = Field(
        "calibrated",
        description="Thresholds from quiet windows of the reference, or one fixed number for all.",
    )
    fixed_threshold: float = Field(
        0.25, gt=0, description="Of the fixed mode; a calibrated report shows what it would have said."
    )
    false_alarm_rate: float = Field(
        0.01, ge=0.001, le=0.5, description="How often a window of quiet times may be red, over all channels."
    )
    window_days: float = Field(7, gt=0, le=3_660, description="The current window: this many days up to now.")
    watched_windows: int = Field(
        3, ge=1, le=52, description="An alarm looks at so many windows, each before the other."
    )
    alarm_windows: int = Field(2, ge=1, le=52, description="So many of them must be red, the newest among them.")
    min_rows: int = Field(100, ge=2, description="A side with fewer rows gives no verdict.")
    min_queries: int = Field(30, ge=2, description="A side with fewer queries gives no verdict.")
    quiet_windows: int = Field(
        4_000, ge=20, description="Drawn from the reference to set the thresholds; more where the rate needs them."
    )
    max_rows: int = Field(1_000_000, ge=100, description="Larger sides are sampled by query, seeded.")
    max_text_rows: int = Field(20_000, ge=100, description="Rows of a side whose words are counted.")
    max_embedded_queries: int = Field(
        500, ge=0, description="Queries of a side, each with one document, that are embedded; 0 for none."
    )
    max_scored_rows: int = Field(1_000, ge=0, description="Rows of a side that the champion scores; 0 for none.")
    history_weeks: int = Field(12, ge=1, le=520, description="The picture of each channel goes back so far.")
    seed: int = Field(13, description="Of sampling and of the quiet windows.")

    @model_validator(mode="after")
    def _an_alarm_is_possible(self) -> Self:
        if self.alarm_windows > self.watched_windows:
            raise ValueError(
                f"an alarm cannot need {self.alarm_windows} red windows of {self.watched_windows}: lower "
                "alarm_windows or raise watched_windows"
            )
        return self

    def profile_digest(self) -> str:
        """Return 16 hex digits over what a profile of the reference depends on."""
        used = {"max_rows", "max_text_rows", "max_embedded_queries", "max_scored_rows", "seed"}
        values = self.model_dump(mode="json", include=used)
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


class TriggerSettings(Section):
    """What starts the lifecycle by itself. A person and the schedule may always start it."""

    drift: bool = Field(True, description="An alarm of the drift watch starts it.")
    growth: bool = Field(True, description="Many new labelled pairs start it.")
    quality: bool = Field(True, description="A champion that ranks fresh pairs worse than before starts it.")
    cool_down_hours: float = Field(
        24,
        ge=0,
        le=8_760,
        description="A triggered run ends at once when another one was triggered less than this before.",
    )
    open_runs: int = Field(1, ge=1, description="A triggered run ends at once when so many are open already.")


class GrowthSettings(Section):
    """The watch over how many labelled pairs there are."""

    share: float = Field(
        0.10,
        gt=0,
        description="Growth of the labelled pairs over those of the champion's snapshot that is announced.",
    )


class QualitySettings(Section):
    """The watch over the champion's quality on freshly labelled pairs."""

    false_alarm_rate: float = Field(
        0.01, ge=0.001, le=0.5, description="Over a champion's whole life in quiet times, however often it is judged."
    )
    min_drop: float = Field(
        0.03, ge=0, lt=1, description="A smaller fall of NDCG@10, corrected for chance, is never an alarm."
    )
    min_queries: int = Field(
        50, ge=2, description="Fewer fresh queries give no verdict; judged again when they have doubled, and so on."
    )
    min_record: int = Field(
        10, ge=1, description="A kind of list of which the champion's record holds fewer is not compared."
    )
    max_queries: int = Field(2_000, ge=2, description="Of more fresh or recorded queries, this many are taken.")
    seed: int = Field(13, description="Of the permutations.")
