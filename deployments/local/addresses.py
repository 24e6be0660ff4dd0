"""Where to look: the pages of everything that runs on this machine."""

from pathlib import Path

from flows.settings import Settings


def addresses(settings: Settings) -> str:
    """Return lines of what there is to see and its address; of reports, the newest."""
    host = "http://127.0.0.1"
    rows = {
        "Prefect (runs, schedules, artifacts)": f"{host}:{settings.servers.prefect_port}",
        "MLflow (runs, curves, models)": f"{host}:{settings.servers.mlflow_port}",
        "Great Expectations data docs": _newest(settings, "validation/*/index.html"),
        "Evidently's drift report": _newest(settings, "drift/*/drift.html"),
        "The service and its API": settings.service_url,
    }
    width = max(map(len, rows))
    return "\n".join(f"  {what:<{width}}  {address}" for what, address in rows.items())


def _newest(settings: Settings, pattern: str) -> str:
    found = settings.folder("reports").glob(pattern)
    newest: Path | None = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return settings.report_url(newest) if newest else "not made yet"
