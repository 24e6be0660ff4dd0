"""A client of MLflow that is quiet, sends nothing about its user, and gives up within a bounded time."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from flows.registry.failures import RegistryError, RegistryUnavailable, speaking_with
from flows.settings import RegistrySettings

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(settings: RegistrySettings, tracking_uri: str) -> "MlflowClient":
    """Return a client for `tracking_uri` (http(s)://... or sqlite:///<file>).

    MLflow takes these choices from the environment alone, so they are set there, for this process: the timeout
    and retries of the settings (MLflow's own let it try for minutes before it says that a server is not there),
    and, where nobody chose otherwise, no telemetry, no progress bars and no addresses on standard output.

    Raises:
        RegistryUnavailable: a SQLite file that cannot be opened or made now.
        RegistryError: an address that MLflow does not know, or a file that is no database.
    """
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(settings.timeout_seconds)
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(settings.retries)
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    }.items():
        os.environ.setdefault(name, value)
    shown = without_password(tracking_uri)
    database = sqlite_file(tracking_uri)
    if database:
        _check_database(database)
    from mlflow import MlflowClient

    with speaking_with(shown, "be used"):
        return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def sqlite_file(tracking_uri: str) -> Path | None:
    """Return the file behind a sqlite:/// address, None for any other."""
    _, found, path = tracking_uri.partition("sqlite:///")
    return Path(unquote(path)) if found else None


def without_password(tracking_uri: str) -> str:
    """Return the address as messages may show it.

    RegistryError for what no attempt can reach: MLflow's libraries would say so in words of their own, or try again.
    """
    try:
        parts = urlsplit(tracking_uri)
        _ = parts.port  # read where it is asked for
    except ValueError as error:
        raise RegistryError(f"MLflow's address is no URL ({error}): mend RERANKER_REGISTRY__TRACKING_URI.") from None
    if parts.scheme in ("http", "https") and not parts.hostname:
        raise RegistryError("MLflow's address names no host: mend RERANKER_REGISTRY__TRACKING_URI.")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _check_database(file: Path) -> None:
    """Open the file once: MLflow itself tries ten times, 100 seconds in all, before it says what is wrong."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise RegistryUnavailable(f"The registry's database {file} cannot be opened: {error}.") from error
        raise RegistryError(f"{file} is not MLflow's database ({error}): name another, or move it away.") from error
    except OSError as error:
        raise RegistryUnavailable(f"The registry's folder {file.parent} cannot be made: {error}.") from error
