"""What can go wrong with the registry, told apart by whether trying again can help."""

import re
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
_CREDENTIALS = re.compile(r"://[^/@\s]+@")


class RegistryError(Exception):
    """The registry refused, or holds something else than it should; trying again does not help."""


class RegistryUnavailable(RegistryError, Healable):
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
        raise _ours(error, tracking_uri, purpose, heals=error.error_code in _CAN_HEAL) from None
    except requests.exceptions.HTTPError as error:  # of artifacts, which MLflow transfers without its own errors
        status = error.response.status_code if error.response is not None else None
        raise _ours(error, tracking_uri, purpose, heals=status is None or status >= 500 or status in _BUSY) from None
    except (requests.exceptions.RequestException, OperationalError) as error:
        raise _ours(error, tracking_uri, purpose, heals=True) from None


def _ours(error: Exception, tracking_uri: str, purpose: str, *, heals: bool) -> RegistryError:
    """Return our exception with MLflow's words; its own may show a password, so it is not chained to ours."""
    said = f"MLflow at {tracking_uri} could not {purpose}: {_CREDENTIALS.sub('://', str(error))}"
    if not heals:
        return RegistryError(said)
    return RegistryUnavailable(
        f"{said.rstrip('.')}. See that its server runs and that RERANKER_REGISTRY__TRACKING_URI names it."
    )
