"""The sections of the settings, one for each capability."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

Port = Annotated[int, Field(ge=1, le=65_535)]
Loss = Literal["listwise", "lambda", "cached-mnrl", "bce"]
EngineName = Literal["openvino-int8", "onnxruntime-int8", "openvino-fp32", "onnxruntime-fp32"]


class Section(BaseModel):
    """A group of settings. Two equal groups have equal digests, so finished work can be recognised."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def digest(self) -> str:
        """Return 16 hex digits over every value of the section; secrets count by presence alone."""
        values = self.model_dump(mode="json")
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


class ServerSettings(Section):
    """The servers that `make demo` starts on loopback."""

    prefect_port: Port = Field(4200, description="Port of the Prefect server and its UI.")
    mlflow_port: Port = Field(5000, description="Port of the MLflow tracking server.")
    reports_port: Port = Field(4300, description="Port of the static server that shows the folder reports.")
    work_pool: str = Field("local", description="Work pool that the worker serves.")


class StoreSettings(Section):
    """The labels table."""

    kind: Literal["sqlite", "supabase"] = Field("sqlite", description="Which store holds the labelled pairs.")
    path: Path | None = Field(None, description="SQLite file; default: labels.db under the home folder.")
    supabase_url: str | None = Field(None, description="https://<project>.supabase.co")
    supabase_key: SecretStr | None = Field(None, description="Service role key; never logged.")
    page_size: int = Field(1000, ge=1, le=10_000, description="Rows a request, where the store is remote.")
    retries: int = Field(5, ge=0, description="Tries again on 429 and 5xx, with backoff.")


class CleaningSettings(Section):
    """From stored pairs to a frozen snapshot."""

    max_query_characters: int = Field(2_000, description="Longer queries are dropped and counted.")
    max_document_characters: int = Field(20_000, description="Longer documents are dropped and counted.")
    min_candidates: int = Field(2, description="Queries with fewer candidates are dropped and counted.")
    test_share: float = Field(0.15, gt=0, lt=1, description="Newest share of queries, for the gate alone.")
    validation_share: float = Field(0.10, ge=0, lt=1, description="Newest share of the rest, for checkpoints.")
    positive_share: float = Field(
        0.30, gt=0, le=1, description="Negatives of the training side are undersampled to reach this share."
    )
    seed: int = Field(13, description="Of the undersampling.")


class ValidationSettings(Section):
    """Limits of the Great Expectations suites."""

    max_age_days: float = Field(30, gt=0, description="Warn when the newest pair is older.")
    min_pairs: int = Field(200, ge=1, description="Fewer pairs stop the run.")
    min_queries: int = Field(50, ge=1, description="Fewer queries stop the run.")
    positive_share_from: float = Field(0.02, description="A lower positive share stops the run.")
    positive_share_to: float = Field(0.80, description="A higher positive share stops the run.")
    max_thin_queries: float = Field(0.20, description="Warn when more queries have too few candidates.")
    max_unrankable_queries: float = Field(0.30, description="Warn when more queries lack a positive or a negative.")
    max_duplicates: float = Field(0.05, description="Warn when more pairs are repeated.")
    max_conflicts: float = Field(0.02, description="Warn when more pairs stand there with both labels.")
    min_test_queries: int = Field(30, ge=1, description="Warn when fewer queries are left for the gate.")


class RetrievalSettings(Section):
    """What finds candidates before the reranker, and the incumbent where there is no champion."""

    kind: Literal["bm25", "bi-encoder"] = Field("bm25", description="The retriever of the RAG application.")
    bi_encoder: str = Field("carried:minilm", description="Sentence-transformers name, path or carried weights.")
    index: Literal["qdrant", "memory"] = Field(
        "qdrant", description="Where the bi-encoder's vectors lie; the order of the documents is the same."
    )
    qdrant_url: str | None = Field(
        None,
        pattern=r"^https?://[^@]+$",  # no name and password: messages show it
        description="Qdrant server, https://<host>; default: embedded, in the folder qdrant under home.",
    )
    qdrant_grpc_port: Port = Field(6334, description="Port of the server's gRPC interface.")
    qdrant_api_key: SecretStr | None = Field(None, description="Of the server; never logged.")
    qdrant_timeout_seconds: int = Field(30, ge=1, description="Longest wait for one answer of the server.")
    lock_seconds: float = Field(
        30, ge=0, description="Longest wait for the embedded Qdrant, which serves one process at a time."
    )
    collection: str = Field(
        "reranker", pattern=r"^[\w.-]+$", description="Beginning of the collections' names; model and corpus follow."
    )
    batch_size: int = Field(256, ge=1, le=10_000, description="Documents that are embedded and sent at a time.")
    exact: bool = Field(
        True,
        description="Compare with every vector, so that the same corpus always gives the same documents; false asks "
        "the server's HNSW graph, faster from some hundred thousand documents on.",
    )


class MiningSettings(Section):
    """Which documents, beyond the labelled ones, a challenger learns to rank below the relevant ones."""

    when: Literal["thin", "always", "never"] = Field(
        "thin",
        description="Top up queries that have fewer labelled negatives than `negatives` of the training, give every "
        "query as many as its list holds, or do without.",
    )
    bi_encoder: str = Field(
        "carried:minilm", description="Finds similar documents: sentence-transformers name, path or carried weights."
    )
    mined: int = Field(2, ge=0, description="Similar documents for each relevant one of a query.")
    random: int = Field(
        1, ge=0, description="Random documents for each relevant one, and more where too few are mined."
    )
    depth: int = Field(100, ge=1, description="Nearest documents of a query that are looked at.")
    margin: float | None = Field(
        0.05,
        ge=0,
        lt=1,
        description="A mined document's similarity is below that of the query's relevant ones by at least this "
        "share, for the nearest are often relevant and only not labelled; null takes the nearest whatever they are.",
    )
    against: Literal["best", "mean", "worst"] = Field(
        "mean", description="Which of the query's relevant documents the margin is counted from."
    )
    chunk: int = Field(512, ge=1, description="Queries that are searched at a time.")
    seed: int = Field(13, description="Of the random documents.")


class TrainingSettings(Section):
    """How a challenger is trained."""

    base_model: str = Field(
        "carried:minilm",
        description="Hub name, path, or `carried:minilm` for the MiniLM-L6 weights of an installed package; "
        "with a hub at hand, cross-encoder/ms-marco-MiniLM-L-6-v2 is the better start.",
    )
    from_champion: bool = Field(True, description="Start from the champion's weights where there is one.")
    loss: Loss = Field(
        "listwise",
        description="Softmax over a query's own candidates, weighted pairs of them (LambdaLoss), one relevant one "
        "against in-batch negatives (CachedMultipleNegativesRanking), or each pair alone (binary cross-entropy).",
    )
    rivals: tuple[Loss, ...] = Field(
        (),
        description="More losses, each for a challenger of its own with the same start, data and limits; the gate "
        "judges them together.",
    )
    window_days: float | None = Field(
        None, gt=0, description="Learn from the newest days of the training split alone; default: from all of it."
    )
    epochs: float = Field(2.0, gt=0, description="Passes over what is learned from.")
    max_minutes: float = Field(30, gt=0, description="Training stops in order when this has passed.")
    batch_size: int = Field(32, ge=2, description="Query-document pairs a step, about: lists stay whole.")
    list_size: int = Field(
        12, ge=2, description="Documents of a query in one list at most, relevant ones first; listwise and lambda."
    )
    negatives: int = Field(
        3,
        ge=1,
        description="Negatives for each positive; of a list, at least, from other queries where it has fewer.",
    )
    mining: MiningSettings = MiningSettings()
    in_batch_negatives: int = Field(2, ge=1, description="Other queries' documents for each positive; cached-mnrl.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak, after warm-up.")
    warm_up: float = Field(0.1, ge=0, lt=1, description="Share of the training in which the learning rate rises.")
    validations: int = Field(3, ge=1, description="Checkpoints that are validated, at even shares of the training.")
    validation_queries: int = Field(300, ge=1, description="Newest queries of the validation split that choose.")
    max_length: int = Field(128, ge=16, description="Tokens of query and document together.")
    bf16: bool = Field(True, description="Autocast to bfloat16 where the processor has it.")
    seed: int = Field(13, description="Of weights, order and dropout.")
    patience: int | None = Field(
        None,
        ge=1,
        description="So many validations in a row without a better one end the training; default: none do.",
    )
    processes: int = Field(
        1, ge=1, description="Train together on this machine, each with its own batches: one for each GPU."
    )
    checkpoint_minutes: float | None = Field(
        5, gt=0, description="Time between two checkpoints from which a killed training goes on; none without it."
    )
    checkpoint_steps: int | None = Field(None, ge=1, description="Steps between two checkpoints, beside the time.")
    checkpoints: str = Field(
        "local",
        pattern=r"^(local|s3-bucket/[a-z0-9-]+)$",
        description="Where they are kept: `local`, under the home folder, or the S3 bucket of a Prefect block, "
        "`s3-bucket/<name of the block>`.",
    )

    def recipes(self) -> tuple["TrainingSettings", ...]:
        """Return these settings once for each loss, the chosen one first."""
        losses = dict.fromkeys([self.loss, *self.rivals])
        return tuple(self.model_copy(update={"loss": loss, "rivals": ()}) for loss in losses)

    def digest(self) -> str:
        """Return 16 hex digits over what shapes the model; when and where it is kept meanwhile does not."""
        aside = {"checkpoint_minutes", "checkpoint_steps", "checkpoints", "rivals"}
        shaping = self.model_dump(mode="json", exclude=aside)
        return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:16]


class StudentSettings(Section):
    """Shallower and faster copies of the winner, taught by it; what is not named here is as in the training."""

    layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Depths of the students, such as [3], or [4, 3, 2] for a curve; default: none is made."
    )
    loss: Literal["listwise", "margin-mse", "mse"] = Field(
        "listwise",
        description="Cross-entropy with the softmax of the teacher's scores over a list, squared error of score "
        "differences within one, or squared error of scores.",
    )
    hard_share: float = Field(
        0.0, ge=0, le=1, description="Weight of the labels beside the teacher's scores; listwise alone."
    )
    list_size: int = Field(8, ge=2, description="Documents of a query that are learned from together, at most.")
    retrieved_documents: int = Field(
        4, ge=0, description="Unlabelled documents of each query that the retriever finds in the training split."
    )
    random_documents: int = Field(2, ge=0, description="The same, drawn at random.")
    max_pairs: int = Field(200_000, ge=2, description="Of more pairs, so many are taken, by query, seeded.")
    teacher_minutes: float = Field(20, gt=0, description="The teacher's scoring ends in order when this has passed.")
    epochs: float = Field(3.0, gt=0, description="Passes over what the teacher has scored.")
    max_minutes: float = Field(30, gt=0, description="Training of each student stops in order when this has passed.")
    batch_size: int = Field(64, ge=2, description="Query-document pairs a step, about: lists stay whole.")
    learning_rate: float = Field(2e-4, gt=0, description="Peak, after warm-up.")

    @model_validator(mode="after")
    def _labels_need_lists(self) -> Self:
        if self.hard_share and self.loss != "listwise":
            raise ValueError(
                f"labels are mixed in by the listwise loss alone, not by {self.loss}: set hard_share to 0"
            )
        return self


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


class PackagingSettings(Section):
    """From the champion to a Bento."""

    service: str = Field("reranker", description="Name of the Bento and of its model.")
    engines: tuple[EngineName, ...] = Field(
        ("openvino-int8", "onnxruntime-int8", "openvino-fp32", "onnxruntime-fp32"),
        min_length=1,
        description="Candidates: measured on this host, and the fastest that is fit is packaged.",
    )
    max_score_difference: float = Field(
        1e-4, gt=0, description="An fp32 engine is refused when a score differs more from the trained model's."
    )
    max_ndcg_difference: float = Field(
        0.002,
        ge=0,
        description="An int8 engine is refused when its NDCG@10 on the test split differs more from fp32's.",
    )
    min_queries: int = Field(30, ge=1, description="Fewer test queries cannot judge an int8 engine: none is used.")
    calibration_pairs: int = Field(300, ge=10, description="Training pairs that the int8 ranges are set on.")
    measuring_seconds: float = Field(
        3, gt=0, description="For the speed of each candidate, at each of two lengths of text."
    )


class HostSettings(Section):
    """Where the service runs."""

    address: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 lets other machines in.")
    port: Port = Field(3000, description="Port of the service.")
    start_timeout: float = Field(120, gt=0, description="Seconds a release may take until it is ready.")
    workers: int = Field(1, ge=1, description="Processes of the service.")
    predictions: Path | None = Field(
        None, description="Folder of the service's prediction log and feedback; default: predictions under home."
    )
    prediction_share: float = Field(1.0, ge=0, le=1, description="Share of requests that the service records.")
    max_score_difference: float = Field(
        1e-3, gt=0, description="A release is refused when a score differs more from the packaged model's."
    )
    max_int8_score_difference: float = Field(
        0.03,
        gt=0,
        description="The same for an int8 engine: processors with other 8-bit instructions round otherwise "
        "(up to 0.018 measured between AVX-512 with VNNI and without).",
    )


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
