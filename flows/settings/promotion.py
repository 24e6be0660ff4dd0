"""Who becomes the champion, who has a say in it, and who hears of it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from flows.settings.section import Section


class GateSettings(Section):
    """What a challenger must show."""

    mode: Literal["enabled", "dry_run", "disabled"] = Field(
        "enabled",
        description="Judge and act; judge and only show; or let the challenger take over unjudged.",
    )
    prefer: Literal["quality", "speed"] = Field(
        "quality", description="Of several challengers that pass, the best or the fastest takes over."
    )
    min_ndcg_gain: float = Field(0.01, ge=0, description="NDCG@10 over the incumbent, at least.")
    max_p_value: float = Field(
        0.05, gt=0, lt=1, description="Two-sided paired permutation test of that gain, corrected for challengers."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of the interval that must lie above zero.")
    seed_deviation: float = Field(
        0.006,
        ge=0,
        description="Standard deviation of NDCG@10 over trainings of one recipe with other seeds: the gain must be "
        "more than that explains as well; 0 for no such rule.",
    )
    max_mrr_fall: float = Field(0.05, ge=0, description="MRR@10 may fall by this much.")
    max_map_fall: float = Field(0.05, ge=0, description="MAP@10 may fall by this much.")
    max_slice_fall: float = Field(
        0.05, ge=0, description="NDCG@10 of a slice may fall by this much; further where chance explains it."
    )
    min_slice_queries: int = Field(20, ge=2, description="A smaller slice is shown and vetoes nothing.")
    min_queries: int = Field(30, ge=2, description="Fewer test queries decide nothing.")
    detectable_gain: float = Field(
        0.03, gt=0, description="A test set is large enough when it sees a true gain of this size ..."
    )
    power: float = Field(0.9, gt=0.5, lt=1, description="... with this probability.")
    resamples: int = Field(5_000, ge=1_000, description="Of the permutation tests and of the bootstrap.")
    max_latency_ms: float | None = Field(1_000, gt=0, description="For one list, 95th percentile.")
    max_latency_ratio: float | None = Field(1.5, gt=0, description="The same, in the incumbent's.")
    max_memory_mb: float | None = Field(4_000, gt=0, description="Of a process that serves the model.")
    max_memory_ratio: float | None = Field(1.5, gt=0, description="The same, in the incumbent's.")
    max_artifact_mb: float | None = Field(2_000, gt=0, description="Of all files of the model.")
    max_artifact_ratio: float | None = Field(1.5, gt=0, description="The same, in the incumbent's.")

    @model_validator(mode="after")
    def _can_be_seen(self) -> Self:
        if self.detectable_gain <= self.min_ndcg_gain:
            raise ValueError(
                f"a gain of detectable_gain={self.detectable_gain:g} cannot be told from min_ndcg_gain="
                f"{self.min_ndcg_gain:g}: raise the one or lower the other"
            )
        if self.detectable_gain <= 3 * self.seed_deviation:
            raise ValueError(
                f"a gain of detectable_gain={self.detectable_gain:g} cannot be told from another seed with "
                f"seed_deviation={self.seed_deviation:g}: it must be more than three times as large"
            )
        return self


class ApprovalSettings(Section):
    """Who has the last word on a challenger that the gate lets through."""

    mode: Literal["auto", "ask"] = Field(
        "auto", description="The gate alone decides, or the run pauses in Prefect's UI and asks a person."
    )
    ask_from_change: float = Field(
        0,
        ge=0,
        lt=1,
        description="Ask only where the challenger's NDCG@10 differs from the incumbent's by this much or more; "
        "a smaller step is taken without asking.",
    )
    timeout_hours: float = Field(24, gt=0, le=24 * 14, description="No answer within this time means no.")


class NoticeSettings(Section):
    """Who hears what a run of the loop came to."""

    block: str | None = Field(
        None,
        pattern=r"^[\w-]+/[\w-]+$",
        description="Prefect notification block that sends the notice, such as slack-webhook/team; default: none, "
        "and the notice is kept as an artifact alone.",
    )


class RegistrySettings(Section):
    """MLflow."""

    tracking_uri: str | None = Field(
        None, description="Default: MLFLOW_TRACKING_URI of the stack, else mlflow.db under the home folder."
    )
    experiment: str = Field("reranker", description="Experiment that holds the runs.")
    model_name: str = Field("reranker", pattern=r"^[\w.-]+$", description="Registered model.")
    timeout_seconds: int = Field(30, ge=1, description="Longest silence of MLflow within one request.")
    retries: int = Field(3, ge=0, le=10, description="Tries again in a request, after 1, 2, 4, ... seconds.")
