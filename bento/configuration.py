"""Settings of the service: the one place in it that reads the environment, as `RERANKER_SERVICE_<FIELD>`."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from bento.processors import available_processors


class ServiceSettings(BaseSettings):
    """Limits and resources of one running service."""

    model_config = SettingsConfigDict(env_prefix="RERANKER_SERVICE_", frozen=True)

    model: str = Field(
        "reranker",
        description="Tag in the BentoML model store. Inside a Bento this name is an alias of the very model it was "
        "built with; outside, a name without a version means the newest.",
    )
    workers: int = Field(1, ge=1, description="Processes that share the port.")
    threads: int | None = Field(
        None,
        ge=1,
        description="Threads of the engine in each worker; default: the processors divided by the workers.",
    )
    batch_size: int = Field(16, ge=1, description="Pairs that the model sees at once; more gain little on a CPU.")
    max_documents: int = Field(1_000, ge=1, description="Documents in one request.")
    max_body_bytes: int = Field(16 * 2**20, ge=1_024, description="Larger requests are refused with 413.")
    max_body_seconds: float = Field(30, gt=0, description="A request whose body takes longer is refused with 408.")
    max_waiting: int = Field(64, ge=1, description="Requests that may wait for the engine; more get 429.")
    timeout: int = Field(60, ge=1, description="Seconds until a request is given up.")

    @property
    def engine_threads(self) -> int:
        """Threads of the engine in this worker."""
        return self.threads or max(1, available_processors() // self.workers)
