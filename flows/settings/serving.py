"""From the champion to answers."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from flows.settings.section import Port, Section

EngineName = Literal["openvino-int8", "onnxruntime-int8", "openvino-fp32", "onnxruntime-fp32"]


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


class ServerSettings(Section):
    """The servers that `make demo` starts on loopback."""

    prefect_port: Port = Field(4200, description="Port of the Prefect server and its UI.")
    mlflow_port: Port = Field(5000, description="Port of the MLflow tracking server.")
    reports_port: Port = Field(4300, description="Port of the static server that shows the folder reports.")
    work_pool: str = Field("local", description="Work pool that the worker serves.")
