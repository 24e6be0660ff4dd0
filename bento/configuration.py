"""Settings of the service: the one place in it that reads the environment, as `RERANKER_SERVICE_<FIELD>`."""

import math
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bento.processors import available_processors

PROCESSORS_PER_WORKER = 8
"""One event loop keeps about so many processors busy with scoring."""


class ServiceSettings(BaseSettings):
    """Limits, resources and doors of one running service."""

    model_config = SettingsConfigDict(env_prefix="RERANKER_SERVICE_", frozen=True)

    profile: Literal["local", "aws"] = Field("local", description="`aws` refuses to start without authentication.")
    model: str = Field(
        "reranker",
        description="Tag in the BentoML model store. Inside a Bento this name is an alias of the very model it was "
        "built with; outside, a name without a version means the newest.",
    )
    expected_digest: str | None = Field(
        None, description="Digest of the trained model; the service is not ready with any other."
    )

    # Resources
    workers: int | None = Field(
        None, ge=1, description="Processes that share the port; default: one for each eight processors."
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of the engine in each worker; default: the processors over the workers."
    )
    batch_tokens: int = Field(256, ge=16, description="Tokens in a micro-batch, padding included.")
    cache_bytes: int = Field(32 * 2**20, ge=0, description="For the scores of pairs seen before; 0 turns it off.")

    # Limits
    max_body_bytes: int = Field(16 * 2**20, ge=1_024, description="Larger requests are refused with 413.")
    max_body_seconds: float = Field(30, gt=0, description="A request whose body takes longer is refused with 408.")
    max_documents: int = Field(1_000, ge=1, description="Documents in one request; more are refused with 422.")
    max_characters: int = Field(
        8_000_000, ge=1, description="Characters of query and documents together; more are refused with 422."
    )
    max_queue_tokens: int = Field(
        500_000, ge=1, description="Tokens that may wait for the engine; requests beyond them get 429."
    )
    timeout: int = Field(30, ge=1, description="Seconds until a request is given up; more work than fits gets 429.")

    # Life
    keep_alive: int = Field(75, ge=1, description="Seconds an idle connection is kept: longer than the balancer's.")
    drain_seconds: float = Field(
        0, ge=0, description="After SIGTERM, how long requests are still refused in words before the port closes."
    )

    # Doors
    authentication: Literal["off", "jwt"] = Field("off", description="Whether a bearer token is needed.")
    jwt_secret: SecretStr | None = Field(None, description="Of HS256 tokens; at least 32 bytes.")
    jwks_url: str | None = Field(None, description="Where the public keys of RS256 tokens are.")
    jwt_issuer: str | None = Field(None, description="The `iss` that tokens must have.")
    jwt_audience: str | None = Field(None, description="The `aud` that tokens must have.")
    rerank_scope: str = Field("rerank", description="Scope that scoring and feedback need.")
    admin_scope: str = Field("rerank:admin", description="Scope that the administration needs.")
    requests_per_minute: int | None = Field(
        None, ge=1, description="Of each subject, over all workers; default: no limit."
    )
    open_probes: bool = Field(True, description="Whether /livez, /healthz and /readyz answer without a token.")
    open_metrics: bool = Field(True, description="Whether /metrics answers without a token.")

    # Records
    hourly_price: float | None = Field(
        None, ge=0, description="Of the host, in any currency; /metrics then tells the cost of 1,000 requests."
    )
    prediction_log: Path | None = Field(None, description="Folder for the sampled record; default: none is kept.")
    prediction_share: float = Field(0.01, ge=0, le=1, description="Share of requests that are recorded.")
    prediction_log_bytes: int = Field(
        256 * 2**20, ge=2**20, description="All files of the record together; the oldest go first."
    )

    @property
    def worker_count(self) -> int:
        """Processes that share the port."""
        return self.workers or math.ceil(available_processors() / PROCESSORS_PER_WORKER)

    @property
    def engine_threads(self) -> int:
        """Threads of the engine in this worker."""
        return self.threads or max(1, available_processors() // self.worker_count)

    @model_validator(mode="after")
    def _doors_are_whole(self) -> "ServiceSettings":
        if self.profile == "aws" and self.authentication == "off":
            raise ValueError(
                "RERANKER_SERVICE_PROFILE=aws does not start without authentication: "
                "set RERANKER_SERVICE_AUTHENTICATION=jwt"
            )
        if self.authentication == "jwt":
            if (self.jwt_secret is None) == (self.jwks_url is None):
                raise ValueError(
                    "RERANKER_SERVICE_AUTHENTICATION=jwt needs one of RERANKER_SERVICE_JWT_SECRET (HS256) and "
                    "RERANKER_SERVICE_JWKS_URL (RS256), not both"
                )
            if self.jwt_secret is not None and len(self.jwt_secret.get_secret_value().encode()) < 32:
                raise ValueError("RERANKER_SERVICE_JWT_SECRET is shorter than 32 bytes, which can be guessed")
            missing = [name for name in ("jwt_issuer", "jwt_audience") if getattr(self, name) is None]
            if missing:
                names = " and ".join(f"RERANKER_SERVICE_{name.upper()}" for name in missing)
                raise ValueError(f"RERANKER_SERVICE_AUTHENTICATION=jwt needs {names}")
        return self


def load_settings() -> ServiceSettings:
    """Read the environment; where it is wrong, end the process and say which variables, never their values.

    An ordinary exception would be lost: BentoML takes it for a module that is not there.
    """
    try:
        return ServiceSettings()
    except ValidationError as failure:
        faults = failure.errors(include_input=False, include_url=False)
    raise SystemExit("\n".join(_in_words(fault["loc"], fault["msg"]) for fault in faults))


def _in_words(place: tuple[int | str, ...], message: str) -> str:
    if not place:
        return message.removeprefix("Value error, ")
    return f"RERANKER_SERVICE_{str(place[0]).upper()}: {message}"
