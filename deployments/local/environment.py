"""The variables under which everything of the local stack runs."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, SecretStr

from flows.settings import Settings

QUIET: Mapping[str, str] = {
    "DO_NOT_TRACK": "true",  # prefect, mlflow, evidently
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ITERATIVE_DO_NOT_TRACK": "true",
}
"""No part of the stack reports to its maker."""

FOREIGN = ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE")
"""Variables of the user's that would point the stack's processes at another Prefect."""

_MODELS = {"base_model": "training", "bi_encoder": "retrieval"}


def prefect_environment(settings: Settings, port: int) -> dict[str, str]:
    """Return what the Prefect server, its worker, its clients and the flow runs share."""
    home = settings.folder("prefect")
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # A run that misses its heartbeats is marked as crashed (see registration.py); 30 s is the least there is.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",
    }


def stack_environment(settings: Settings, ports: Mapping[str, int]) -> dict[str, str]:
    """Return what flow runs need: addresses, folders, and every setting that is not at its default.

    `ports` holds the ports that the servers really have, by server name.
    """
    tracking = settings.registry.tracking_uri or f"http://127.0.0.1:{ports['mlflow']}"
    environment = {
        **QUIET,
        **dict(_chosen(settings, "RERANKER_")),
        **prefect_environment(settings, ports["prefect"]),
        **{f"RERANKER_SERVERS__{name.upper()}_PORT": str(port) for name, port in ports.items()},
        "RERANKER_HOME": str(settings.folder()),
        "RERANKER_REGISTRY__TRACKING_URI": tracking,
        "MLFLOW_TRACKING_URI": tracking,
        "BENTOML_HOME": str(settings.folder("bentoml")),
        "TOKENIZERS_PARALLELISM": "false",
        "NO_PROXY": _without_proxy(),
    }
    if all(_is_local(getattr(getattr(settings, section), field)) for field, section in _MODELS.items()):
        environment["HF_HUB_OFFLINE"] = "1"  # nothing to fetch: no look-up that waits for an unreachable hub
    return environment


def _chosen(section: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the variables that set every explicitly given field again."""
    for name in sorted(section.model_fields_set):
        value, variable = getattr(section, name), prefix + name.upper()
        match value:
            case None:
                continue
            case BaseModel():
                yield from _chosen(value, f"{variable}__")
            case SecretStr():
                yield variable, value.get_secret_value()
            case str() | Path():
                yield variable, str(value)
            case _:
                yield variable, json.dumps(value)


def _is_local(model: str) -> bool:
    return model.startswith("carried:") or Path(model).expanduser().exists()


def _without_proxy() -> str:
    named = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    return ",".join(dict.fromkeys([*filter(None, named.split(",")), "127.0.0.1", "localhost"]))
