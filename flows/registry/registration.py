"""From a trained model on disk to a version in MLflow, once."""

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flows.contracts.model import TrainedModel
from flows.registry.candidate import stage
from flows.registry.card import CARD, DESCRIPTION_CHARACTERS
from flows.registry.evidence import Evidence, log_evidence
from flows.registry.lineage import Lineage
from flows.registry.runs import CONFIGURATION_TAG, SNAPSHOT_TAG, find_runs, mlflow_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

_log = logging.getLogger(__name__)

KEY_TAG = "reranker.key"
DIGEST_TAG = "reranker.digest"
METRICS_TAG = "reranker.metrics"
VALIDATION_TAG = "reranker.validation"
CODE_TAG = "reranker.code"
BASE_MODEL_TAG = "reranker.base_model"
PARENT_TAG = "reranker.parent"
TEACHER_TAG = "reranker.teacher"
SETTINGS_TAG = "reranker.settings"


class Registration:
    """One attempt to register; an earlier one that died is taken up where it stopped."""

    def __init__(self, client: "MlflowClient", model: str, experiment_id: str) -> None:
        """Make versions of the registered model `model`, their runs in the experiment."""
        self._client = client
        self._model = model
        self._experiment = experiment_id

    def version(
        self, trained: TrainedModel, metrics: Mapping[str, float], evidence: Evidence, lineage: Lineage
    ) -> "MlflowVersion":
        """Return the version of `trained`, made, completed or found.

        It is made last, when its run holds the metrics and evidence and its files are complete.
        """
        key = _key(trained)
        return self._with_key(key) or self._make(trained, metrics, evidence, lineage, key)

    def _make(
        self, trained: TrainedModel, metrics: Mapping[str, float], evidence: Evidence, lineage: Lineage, key: str
    ) -> "MlflowVersion":
        tags = {SNAPSHOT_TAG: trained.snapshot, CONFIGURATION_TAG: trained.configuration}
        run_id = self._run_of(tags)
        log_evidence(self._client, run_id, evidence)
        model_id, location = self._upload(trained, metrics, lineage, run_id, {**tags, KEY_TAG: key})
        self._log_metrics(run_id, model_id, metrics)
        self._client.set_terminated(run_id, "FINISHED")
        self._ensure_registered_model()
        made = self._client.create_model_version(
            self._model,
            location,
            run_id,
            {
                **tags,
                KEY_TAG: key,
                DIGEST_TAG: trained.digest,
                METRICS_TAG: json.dumps(dict(metrics)),
                VALIDATION_TAG: json.dumps(dict(trained.validation)),
                CODE_TAG: lineage.code,
                BASE_MODEL_TAG: lineage.base_model,
                SETTINGS_TAG: json.dumps(dict(lineage.settings)),
                **({PARENT_TAG: str(lineage.parent)} if lineage.parent is not None else {}),
                **({TEACHER_TAG: str(lineage.teacher)} if lineage.teacher is not None else {}),
            },
            description=str(evidence.get(CARD, ""))[:DESCRIPTION_CHARACTERS] or None,
            model_id=model_id,
        )
        first = self._with_key(key) or made
        if first.version != made.version:  # another process registered the same model at the same time
            self._client.delete_model_version(self._model, made.version)
        _log.info("registered %s version %s", self._model, first.version)
        return first

    def _run_of(self, tags: Mapping[str, str]) -> str:
        """Return the newest run that trained this snapshot and configuration; its process may be dead."""
        runs = find_runs(self._client, self._experiment, tags)
        return runs[0] if runs else str(self._client.create_run(self._experiment, tags=dict(tags)).info.run_id)

    def _upload(
        self, trained: TrainedModel, metrics: Mapping[str, float], lineage: Lineage, run_id: str, tags: dict[str, str]
    ) -> tuple[str, str]:
        """Return id and address of the MLflow model with all its files, made, completed or found."""
        from mlflow.models import Model

        begun = self._client.search_logged_models([self._experiment], f"tags.`{KEY_TAG}` = '{tags[KEY_TAG]}'")
        model = begun[0] if begun else self._client.create_logged_model(self._experiment, "reranker", run_id, tags)
        if not begun or str(model.status) != "READY":
            with tempfile.TemporaryDirectory() as temporary:
                staged = Path(temporary) / "model"
                stage(trained, metrics, lineage, Model(run_id=run_id, model_id=model.model_id), staged)
                self._client.log_model_artifacts(model.model_id, str(staged))
            self._client.finalize_logged_model(model.model_id, "READY")
        return model.model_id, model.artifact_location

    def _log_metrics(self, run_id: str, model_id: str, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [Metric(f"test/{mlflow_name(k)}", v, now, 0, model_id=model_id) for k, v in metrics.items()]
        self._client.log_batch(run_id, points)

    def _with_key(self, key: str) -> "MlflowVersion | None":
        found = self._client.search_model_versions(f"name = '{self._model}' and tags.`{KEY_TAG}` = '{key}'")
        return min(found, key=lambda v: int(v.version), default=None)

    def _ensure_registered_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self._model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _key(trained: TrainedModel) -> str:
    """Return what makes a model the same one again: data, configuration and weights."""
    return hashlib.sha256(f"{trained.snapshot} {trained.configuration} {trained.digest}".encode()).hexdigest()
