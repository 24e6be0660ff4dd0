"""What can go wrong with the registry, told apart by whether trying again can help."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.contracts.failure import Healable

_CAN_HEAL = {
    "INTERNAL_ERROR",
    "TEMPORARILY_UNAVAILABLE",
    "IO_ERROR",
    "SERVICE_UNDER_MAINTENANCE",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "COULD_NOT_ACQUIRE_LOCK",
}
_BUSY = {408, 429}


class RegistryError(Exception):
    """The registry refused, or holds something else than it should; trying again does not help."""


class RegistryUnavailable(RegistryError, Healable):  # noqa: N818 - it names a state, as Healable does
    """MLflow does not answer, or cannot work right now; a later attempt can succeed."""


@contextmanager
def speaking_with(tracking_uri: str, purpose: str) -> Iterator[None]:
    """Turn MLflow's exceptions into ours; `purpose` completes "could not ..." in the message."""
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except MlflowException as error:
        if error.error_code in _CAN_HEAL:
            raise _unavailable(tracking_uri, purpose, error) from error
        raise RegistryError(f"MLflow at {tracking_uri} could not {purpose}: {error}") from error
    except requests.exceptions.HTTPError as error:  # of artifacts, which MLflow transfers without its own errors
        status = error.response.status_code if error.response is not None else None
        if status is None or status >= 500 or status in _BUSY:
            raise _unavailable(tracking_uri, purpose, error) from error
        raise RegistryError(f"MLflow at {tracking_uri} could not {purpose}: {error}") from error
    except (requests.exceptions.RequestException, OperationalError) as error:
        raise _unavailable(tracking_uri, purpose, error) from error


def _unavailable(tracking_uri: str, purpose: str, error: Exception) -> RegistryUnavailable:
    return RegistryUnavailable(
        f"MLflow at {tracking_uri} could not {purpose}: {error}. See that its server runs and that "
        "RERANKER_REGISTRY__TRACKING_URI names it."
    )
