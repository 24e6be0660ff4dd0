"""A training run in MLflow: parameters, live curves, and the data it saw."""

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flows.contracts.snapshot import SNAPSHOT_SCHEMA, Snapshot
from flows.registry.failures import RegistryUnavailable, speaking_with

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric

_log = logging.getLogger(__name__)

SNAPSHOT_TAG = "reranker.snapshot"
CONFIGURATION_TAG = "reranker.configuration"

_EVERY_SECONDS = 2.0
_AFTER_FAILURE_SECONDS = 60.0
_METRICS_A_REQUEST = 1000  # MLflow's own limit
_DIGEST_CHARACTERS = 36  # of a dataset, in MLflow's database
_NOT_IN_A_NAME = re.compile(r"[^\w./ -]")


class TrainingRun:
    """One attempt to train, while it goes on."""

    def __init__(self, client: "MlflowClient", tracking_uri: str, run_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._tracking_uri = tracking_uri
        self._points: list[Metric] = []
        self._next_send = 0.0

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add one point to each curve; sent every two seconds, so that a fast loop is not slowed by the network.

        When MLflow is away, the points are kept and tried again a minute later: training goes on. They are lost
        only if MLflow is still away when the run ends, which then says so.
        """
        from mlflow.entities import Metric

        now = time.time()
        self._points += [Metric(mlflow_name(k), float(v), int(now * 1000), step) for k, v in metrics.items()]
        if now < self._next_send:
            return
        self._next_send = now + _EVERY_SECONDS
        try:
            self.flush()
        except RegistryUnavailable as error:
            self._next_send = time.time() + _AFTER_FAILURE_SECONDS
            _log.warning("%d metrics wait until MLflow answers again: %s", len(self._points), error)

    def flush(self) -> None:
        """Send what waits; RegistryUnavailable when it cannot be sent now."""
        with speaking_with(self._tracking_uri, "take the training metrics"):
            while self._points:
                self._client.log_batch(self.run_id, metrics=self._points[:_METRICS_A_REQUEST])
                del self._points[:_METRICS_A_REQUEST]


@contextmanager
def open_run(
    client: "MlflowClient",
    tracking_uri: str,
    experiment_id: str,
    snapshot: Snapshot,
    configuration: str,
    parameters: Mapping[str, object],
    go_on: bool = False,
) -> Iterator[TrainingRun]:
    """Start a run and end it as the block ends: finished, failed, or killed when it was interrupted.

    A run of the same snapshot and configuration that never ended belongs to a process that was killed. With `go_on`
    the newest that has not finished is taken up and its curves go on; every other is closed as killed, so that each
    training has its own curves. While the run lasts, MLflow samples the machine: `system/...` has its curves.
    """
    tags = {SNAPSHOT_TAG: snapshot.digest, CONFIGURATION_TAG: configuration}
    with speaking_with(tracking_uri, "start a run"):
        unfinished = find_runs(client, experiment_id, tags, "attributes.status != 'FINISHED'") if go_on else []
        for dead in find_runs(client, experiment_id, tags, "attributes.status = 'RUNNING'"):
            client.set_terminated(dead, "KILLED")
        if unfinished:
            run_id = unfinished[0]
            client.update_run(run_id, status="RUNNING")
        else:
            run_id = _new_run(client, experiment_id, tags, snapshot, parameters)
    run = TrainingRun(client, tracking_uri, run_id)
    try:
        with _system_metrics(client, run_id, go_on=bool(unfinished)):
            yield run
        run.flush()
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        try:
            with speaking_with(tracking_uri, "end the run"):
                client.set_terminated(run_id, status)
        except RegistryUnavailable as away:
            _log.warning("Run %s stays open in MLflow although it %s: %s", run_id, status.lower(), away)
        raise
    with speaking_with(tracking_uri, "end the run"):
        client.set_terminated(run_id, "FINISHED")


def _new_run(
    client: "MlflowClient",
    experiment_id: str,
    tags: Mapping[str, str],
    snapshot: Snapshot,
    parameters: Mapping[str, object],
) -> str:
    from mlflow.entities import Param

    run = client.create_run(experiment_id, tags=dict(tags), run_name=f"train {snapshot.digest[:8]}")
    run_id = str(run.info.run_id)
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in parameters.items()])
    client.log_inputs(run_id, [_lineage(snapshot)])
    return run_id


@contextmanager
def _system_metrics(client: "MlflowClient", run_id: str, *, go_on: bool) -> Iterator[None]:
    """Let MLflow sample processor, memory, disk, network and GPUs every ten seconds; it warns when it cannot."""
    from mlflow.system_metrics import system_metrics_monitor

    untyped: Any = system_metrics_monitor
    monitor = untyped.SystemMetricsMonitor(run_id, resume_logging=go_on, tracking_uri=client.tracking_uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def find_runs(client: "MlflowClient", experiment_id: str, tags: Mapping[str, str], also: str = "") -> list[str]:
    """Return the ids of the runs that carry all of `tags`, newest first."""
    conditions = [f"tags.`{key}` = '{value}'" for key, value in tags.items()] + ([also] if also else [])
    found = client.search_runs([experiment_id], " and ".join(conditions), order_by=["attributes.start_time DESC"])
    return [run.info.run_id for run in found]


def mlflow_name(metric: str) -> str:
    """Return the metric's name as MLflow allows it.

    >>> mlflow_name("ndcg@10"), mlflow_name("drift/champion's score PSI")
    ('ndcg_at_10', 'drift/champions score PSI')
    """
    return _NOT_IN_A_NAME.sub("", metric.replace("@", "_at_"))


def _lineage(snapshot: Snapshot) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    manifest = snapshot.manifest
    columns = [{"name": f.name, "type": str(f.type), "required": not f.nullable} for f in SNAPSHOT_SCHEMA]
    dataset = Dataset(
        name="labelled pairs",
        digest=manifest.digest[:_DIGEST_CHARACTERS],
        source_type="local",
        source=json.dumps({"uri": snapshot.folder.absolute().as_uri()}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=manifest.model_dump_json(include={"splits", "sources", "first_pair_at", "last_pair_at"}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
