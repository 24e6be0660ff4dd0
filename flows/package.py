"""Turn the champion into a Bento."""

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact

from flows.contracts.model import ModelVersion
from flows.contracts.snapshot import Snapshot
from flows.orchestration.retries import HEALING
from flows.packaging import ExportedModel, PackagedBento, build_bento, export
from flows.registry import RegistryError, open_registry
from flows.settings import Settings, load_settings
from flows.snapshot import SnapshotError, find


@flow(name="package", timeout_seconds=1800)
def package(version: int | None = None) -> PackagedBento:
    """Export a version, choose the fastest engine that ranks as the trained model does, and build a Bento of both.

    What is built already is returned as it is.

    Args:
        version: The version to package; without it, the champion.
    """
    chosen = find_version(version)
    bento = build(chosen)
    show(bento)
    return bento


@task(persist_result=False, **HEALING)
def find_version(version: int | None) -> ModelVersion:
    """Return the version of that number, or the champion."""
    registry = open_registry(load_settings())
    found = registry.champion() if version is None else registry.version(version)
    if found is None:
        raise RegistryError("There is no champion to package yet. Earn one: prefect deployment run lifecycle/local")
    return found


@task(timeout_seconds=1800, persist_result=False, **HEALING)
def build(version: ModelVersion) -> PackagedBento:
    """Export, verify, measure and build."""
    settings = load_settings()
    log = get_run_logger()
    trained = open_registry(settings).fetch(version.version, settings.folder("models"))
    output = settings.folder("exports") / f"{version.name}-{version.version}"
    exported = export(trained, output, version, settings.packaging, _snapshot(settings, version), log.info)
    show_engines(exported)
    return build_bento(exported, version, settings.packaging, settings.folder("bentoml"))


def _snapshot(settings: Settings, version: ModelVersion) -> Snapshot:
    """Return the version's own snapshot, or the newest where that is gone: any real pairs can measure."""
    try:
        return find(settings.folder("snapshots"), version.snapshot)
    except SnapshotError as gone:
        get_run_logger().warning("%s Measuring on the newest snapshot instead.", gone)
        return find(settings.folder("snapshots"))


def show_engines(exported: ExportedModel) -> None:
    """Put the candidates and what was measured of them into the run."""
    rows = [candidate.model_dump() for candidate in exported.manifest.measurements]
    create_table_artifact(key="engines", table=rows, description=f"Engines for {exported.manifest.model}")


def show(bento: PackagedBento) -> None:
    """Put what was built into the run."""
    facts = bento.model_dump(mode="json", exclude={"checks"})
    serve = f"BENTOML_HOME={bento.store} bentoml serve {bento.tag}"
    rows = [{"what": name, "is": str(value)} for name, value in {**facts, "serve it": serve}.items()]
    create_table_artifact(key="bento", table=rows, description=f"Bento {bento.tag}")
