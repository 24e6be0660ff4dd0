"""Turn the champion into a Bento."""

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact

from flows.contracts.model import ModelVersion
from flows.contracts.snapshot import Snapshot
from flows.evaluation import slices
from flows.orchestration.retries import HEALING
from flows.packaging import ExportedModel, PackagedBento, Victory, build_bento, export, victory
from flows.registry import Registry, RegistryError, RegistryUnavailable, open_registry
from flows.settings import Settings, load_settings
from flows.snapshot import SnapshotError, find


@flow(name="package", timeout_seconds=1800)
def package(version: int | None = None) -> PackagedBento:
    """Export a version, choose the fastest engine that ranks as the trained model does, and build a Bento of both.

    The engine must also pass the gate's rules of quality against the incumbent that the version beat.

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
    registry = open_registry(settings)
    trained = registry.fetch(version.version, settings.folder("models"))
    output = settings.folder("exports") / f"{version.name}-{version.version}"
    snapshot = _snapshot(settings, version)
    won = _victory(registry, version, snapshot, settings)
    exported = export(trained, output, version, settings.packaging, snapshot, log.info, won)
    show_engines(exported)
    return build_bento(exported, version, settings.packaging, settings.folder("bentoml"))


def _snapshot(settings: Settings, version: ModelVersion) -> Snapshot:
    """Return the version's own snapshot, or the newest where that is gone: any real pairs can measure."""
    try:
        return find(settings.folder("snapshots"), version.snapshot)
    except SnapshotError as gone:
        get_run_logger().warning("%s Measuring on the newest snapshot instead.", gone)
        return find(settings.folder("snapshots"))


def _victory(registry: Registry, version: ModelVersion, snapshot: Snapshot, settings: Settings) -> Victory | None:
    """Return what the version won against; None where nothing is known of it, which the log says."""
    log = get_run_logger()
    if snapshot.digest != version.snapshot:
        log.warning(
            "The test queries that version %d won on are gone: its export is not judged again.", version.version
        )
        return None
    try:
        measured, incumbent = (
            registry.evidence(version.version, f"{s}.parquet") for s in ("challenger", "incumbent")
        )
    except RegistryUnavailable:
        raise  # a later attempt can find out
    except RegistryError as missing:
        log.warning("Version %d was never judged, so its export is not judged again: %s", version.version, missing)
        return None
    return victory(measured, incumbent, settings.gate, snapshot.digest, slices(snapshot.table("test")))


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
