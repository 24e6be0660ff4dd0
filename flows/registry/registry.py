"""Model versions in MLflow: registered once, found by alias, promoted without a moment without champion."""

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from flows.contracts.model import ModelVersion, TrainedModel
from flows.contracts.snapshot import Snapshot
from flows.registry.candidate import FOLDER, CandidateFile, stage, verify
from flows.registry.connection import connect, sqlite_file, without_password
from flows.registry.failures import RegistryError, RegistryUnavailable, speaking_with
from flows.registry.runs import CONFIGURATION_TAG, SNAPSHOT_TAG, TrainingRun, find_runs, mlflow_name, open_run
from flows.settings import RegistrySettings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

_log = logging.getLogger(__name__)

Alias = Literal["champion", "challenger", "previous"]
Evidence = Mapping[str, pd.DataFrame | str]
"""Files that belong to a version, by name: a frame becomes Parquet (`challenger.parquet`), a text is kept as is."""

KEY_TAG = "reranker.key"
DIGEST_TAG = "reranker.digest"
METRICS_TAG = "reranker.metrics"
VERDICT_TAG = "reranker.verdict"

_DAY_MS = 24 * 60 * 60 * 1000


class Registry:
    """The registered model of the settings, at one MLflow.

    Every method raises RegistryUnavailable when MLflow is away (a later attempt can succeed) and RegistryError
    when it refuses. All may be repeated, also after a crash in their middle.
    """

    def __init__(self, settings: RegistrySettings, tracking_uri: str) -> None:
        """Connect to `tracking_uri`: http(s)://host:port, or sqlite:///<file> with artifacts beside the file."""
        self.name = settings.model_name
        self.tracking_uri = tracking_uri
        self._shown = without_password(tracking_uri)
        self._experiment = settings.experiment
        self._client = connect(settings, tracking_uri)

    def training_run(
        self, snapshot: Snapshot, configuration: str, parameters: Mapping[str, object], *, go_on: bool = False
    ) -> AbstractContextManager[TrainingRun]:
        """Return `with registry.training_run(...) as run:`, a run of MLflow that lasts as long as the block.

        Args:
            snapshot: The data; kept as the run's dataset and as the tag `reranker.snapshot`.
            configuration: Digest of everything else that shapes the model (`TrainedModel.configuration`).
            parameters: Shown as the run's parameters; at most 100.
            go_on: Take up the newest run of this data and configuration that has not finished, where there is one.
        """
        return open_run(self._client, self._shown, self._experiment_id(), snapshot, configuration, parameters, go_on)

    def register(
        self, trained: TrainedModel, metrics: Mapping[str, float], evidence: Evidence | None = None
    ) -> ModelVersion:
        """Make a version of `trained`, or return the one there is, and call it challenger unless it was judged.

        The version is made last, when its run holds the metrics and evidence and its files are complete, so a
        version that can be seen is whole. An attempt that died is taken up where it stopped.

        Args:
            trained: The model; its newest training run in MLflow is its run, or a run is made.
            metrics: Test metrics, such as `ndcg@10`.
            evidence: Kept under `evaluation/` of the run.
        """
        key = _key(trained)
        with speaking_with(self._shown, f"register {self.name}"):
            found = self._with_key(key)
            if found is None:
                found = self._make_version(trained, metrics, evidence or {}, key)
                _log.info("registered %s version %s", self.name, found.version)
            if VERDICT_TAG not in found.tags:
                self._client.set_registered_model_alias(self.name, "challenger", found.version)
        return self.version(int(found.version))

    def attach(self, version: int, evidence: Evidence) -> None:
        """Keep more files under `evaluation/` of the version's run, such as the gate's decision; the newest wins."""
        run_id = self.version(version).run_id
        with speaking_with(self._shown, f"keep evidence of version {version}"):
            self._log_evidence(run_id, evidence)

    def evidence(self, version: int, file: str) -> pd.DataFrame:
        """Return a frame that was kept with the version; RegistryError when there is none of this name."""
        run_id = self.version(version).run_id
        with tempfile.TemporaryDirectory() as temporary:
            with speaking_with(self._shown, f"find {file} of version {version}"):
                path = self._client.download_artifacts(run_id, f"evaluation/{file}", temporary)
            return pd.read_parquet(path)

    def measure(self, version: int, metrics: Mapping[str, float], at: datetime) -> None:
        """Add one point to each curve of the version's run, for what is found out while it serves, such as drift.

        The same again changes nothing, so an attempt that died may be repeated.

        Args:
            version: Whose run is charted.
            metrics: Finite numbers by name; `group/name` is shown in a group.
            at: When it was measured, with a time zone. The point's step is the days since the run began, rounded
                down, so that MLflow's charts run over time whichever axis is chosen.
        """
        from mlflow.entities import Metric

        if at.tzinfo is None:
            raise ValueError("`at` has no time zone: pass an aware time, such as datetime.now(UTC)")
        moment = int(at.timestamp() * 1000)
        run_id = self.version(version).run_id
        with speaking_with(self._shown, f"take the metrics of version {version}"):
            day = (moment - self._client.get_run(run_id).info.start_time) // _DAY_MS
            points = [Metric(mlflow_name(name), value, moment, day) for name, value in metrics.items()]
            self._client.log_batch(run_id, points)

    def note(self, version: int, facts: Mapping[str, str]) -> None:
        """Keep facts of a version's life as its tags `reranker.<name>`, such as what it answers; the newest wins."""
        with speaking_with(self._shown, f"note facts of version {version}"):
            for name, value in facts.items():
                self._client.set_model_version_tag(self.name, str(version), f"reranker.{name}", value)

    def champion(self) -> ModelVersion | None:
        """Return the version in production, None before the first promotion."""
        return self._by_alias("champion")

    def challenger(self) -> ModelVersion | None:
        """Return the version that waits for judgement."""
        return self._by_alias("challenger")

    def previous(self) -> ModelVersion | None:
        """Return the champion before this one: the way back."""
        return self._by_alias("previous")

    def version(self, number: int) -> ModelVersion:
        """Return one version; RegistryError when there is none."""
        with speaking_with(self._shown, f"find {self.name} version {number}"):
            return self._contract(self._client.get_model_version(self.name, str(number)))

    def versions(self) -> list[ModelVersion]:
        """Return every version, newest first; empty before the first."""
        with speaking_with(self._shown, f"list the versions of {self.name}"):
            found = self._client.search_model_versions(f"name = '{self.name}'")
            aliases = self._aliases()
        return sorted((self._contract(v, aliases) for v in found), key=lambda v: v.version, reverse=True)

    def page(self, version: int) -> str | None:
        """Return the address of the version's page in MLflow's UI, None where there is no server."""
        if not self.tracking_uri.startswith("http"):
            return None
        return f"{self._shown.rstrip('/')}/#/models/{self.name}/versions/{version}"

    def promote(self, version: int) -> ModelVersion:
        """Make `version` the champion; the champion until now becomes `previous`.

        Each step leaves a champion in place, and repeating them after a crash gives the same end.
        """
        self.version(version)
        with speaking_with(self._shown, f"promote version {version}"):
            aliases = self._aliases()
            champion = aliases.get("champion")
            if champion != version:
                if champion is not None:
                    self._client.set_registered_model_alias(self.name, "previous", str(champion))
                self._client.set_registered_model_alias(self.name, "champion", str(version))
            self._judged(version, "promoted", aliases)
        return self.version(version)

    def reject(self, version: int) -> ModelVersion:
        """Note that `version` was judged and not promoted; the champion stays. RegistryError for the champion."""
        if "champion" in self.version(version).aliases:
            raise RegistryError(f"Version {version} is the champion: promote another instead of rejecting it.")
        with speaking_with(self._shown, f"reject version {version}"):
            self._judged(version, "rejected", self._aliases())
        return self.version(version)

    def fetch(self, version: int, folder: Path) -> Path:
        """Return the CrossEncoder folder of `version` below `folder`: safetensors, tokenizer and reranker.json.

        Downloaded once and checked against the hashes that were registered; a download that broke off leaves
        nothing behind. RegistryError when the artifacts are damaged.
        """
        wanted = self.version(version)
        target = folder / f"{self.name}-{version}-{wanted.digest[:16]}"
        if target.is_dir():
            verify(target)
            return target
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            path = self._download(version, Path(temporary))
            verify(path)
            try:
                path.rename(target)
            except OSError:
                if not target.is_dir():  # another process was faster, with the same files
                    raise
        return target

    def about(self, version: int) -> CandidateFile:
        """Return the version's `reranker.json` without its weights."""
        with tempfile.TemporaryDirectory() as temporary:
            return CandidateFile.read(self._download(version, Path(temporary), "/reranker.json").parent)

    def _download(self, version: int, target: Path, below: str = "") -> Path:
        from mlflow.artifacts import download_artifacts

        with speaking_with(self._shown, f"give the files of version {version}"):
            source = self._client.get_model_version_download_uri(self.name, str(version)).rstrip("/")
            try:
                return Path(
                    download_artifacts(
                        f"{source}/artifacts/{FOLDER}{below}",
                        dst_path=str(target),
                        tracking_uri=self.tracking_uri,
                        registry_uri=self.tracking_uri,
                    )
                )
            except OSError as error:
                raise RegistryUnavailable(f"The files of version {version} could not be fetched: {error}.") from error

    def _make_version(
        self, trained: TrainedModel, metrics: Mapping[str, float], evidence: Evidence, key: str
    ) -> "MlflowVersion":
        tags = {SNAPSHOT_TAG: trained.snapshot, CONFIGURATION_TAG: trained.configuration}
        run_id = self._run_of(tags)
        self._log_evidence(run_id, evidence)
        model_id, location = self._upload(trained, metrics, run_id, {**tags, KEY_TAG: key})
        self._log_metrics(run_id, model_id, metrics)
        self._client.set_terminated(run_id, "FINISHED")
        self._ensure_registered_model()
        made = self._client.create_model_version(
            self.name,
            location,
            run_id,
            {**tags, KEY_TAG: key, DIGEST_TAG: trained.digest, METRICS_TAG: json.dumps(dict(metrics))},
            model_id=model_id,
        )
        first = self._with_key(key) or made
        if first.version != made.version:  # another process registered the same model at the same time
            self._client.delete_model_version(self.name, made.version)
        return first

    def _run_of(self, tags: Mapping[str, str]) -> str:
        """Return the newest run that trained this snapshot and configuration; its process may be dead."""
        experiment = self._experiment_id()
        runs = find_runs(self._client, experiment, tags)
        return runs[0] if runs else str(self._client.create_run(experiment, tags=dict(tags)).info.run_id)

    def _upload(
        self, trained: TrainedModel, metrics: Mapping[str, float], run_id: str, tags: dict[str, str]
    ) -> tuple[str, str]:
        """Return id and address of the MLflow model with all its files, made, completed or found."""
        from mlflow.models import Model

        experiment = self._experiment_id()
        begun = self._client.search_logged_models([experiment], f"tags.`{KEY_TAG}` = '{tags[KEY_TAG]}'")
        model = begun[0] if begun else self._client.create_logged_model(experiment, "reranker", run_id, tags)
        if not begun or str(model.status) != "READY":
            with tempfile.TemporaryDirectory() as temporary:
                staged = Path(temporary) / "model"
                stage(trained, metrics, Model(run_id=run_id, model_id=model.model_id), staged)
                self._client.log_model_artifacts(model.model_id, str(staged))
            self._client.finalize_logged_model(model.model_id, "READY")
        return model.model_id, model.artifact_location

    def _log_metrics(self, run_id: str, model_id: str, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [Metric(f"test/{mlflow_name(k)}", v, now, 0, model_id=model_id) for k, v in metrics.items()]
        self._client.log_batch(run_id, points)

    def _log_evidence(self, run_id: str, evidence: Evidence) -> None:
        if not evidence:
            return
        with tempfile.TemporaryDirectory() as temporary:
            for name, content in evidence.items():
                path = Path(temporary) / name
                if isinstance(content, str):
                    path.write_text(content, "utf-8")
                else:
                    content.to_parquet(path)
            self._client.log_artifacts(run_id, temporary, "evaluation")

    def _with_key(self, key: str) -> "MlflowVersion | None":
        found = self._client.search_model_versions(f"name = '{self.name}' and tags.`{KEY_TAG}` = '{key}'")
        return min(found, key=lambda v: int(v.version), default=None)

    def _judged(self, version: int, verdict: str, aliases: Mapping[str, int]) -> None:
        self._client.set_model_version_tag(self.name, str(version), VERDICT_TAG, verdict)
        if aliases.get("challenger") == version:
            self._client.delete_registered_model_alias(self.name, "challenger")

    def _by_alias(self, alias: Alias) -> ModelVersion | None:
        with speaking_with(self._shown, f"find the {alias}"):
            number = self._aliases().get(alias)
        return None if number is None else self.version(number)

    def _aliases(self) -> dict[str, int]:
        """Return the aliases of the registered model; none where it does not exist yet."""
        found = self._client.search_registered_models(f"name = '{self.name}'")
        return {alias: int(number) for model in found for alias, number in model.aliases.items()}

    def _ensure_registered_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _experiment_id(self) -> str:
        """Return the experiment's id; made where missing, its artifacts beside the database if that is a file."""
        from mlflow.exceptions import MlflowException

        with speaking_with(self._shown, f"open the experiment {self._experiment}"):
            found = self._client.get_experiment_by_name(self._experiment)
            if found is None:
                database = sqlite_file(self.tracking_uri)
                location = (database.absolute().parent / "mlflow-artifacts").as_uri() if database else None
                try:
                    return str(self._client.create_experiment(self._experiment, location))
                except MlflowException as error:
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":  # made by another process meanwhile
                        raise
                    return self._experiment_id()
            return str(found.experiment_id)

    def _contract(self, found: "MlflowVersion", aliases: Mapping[str, int] | None = None) -> ModelVersion:
        """Return MLflow's version in our words."""
        missing = [tag for tag in (DIGEST_TAG, SNAPSHOT_TAG, CONFIGURATION_TAG) if tag not in found.tags]
        if missing:
            raise RegistryError(
                f"{self.name} version {found.version} lacks the tags {', '.join(missing)}: it was not registered by "
                "this project. Use another RERANKER_REGISTRY__MODEL_NAME, or delete that version."
            )
        number = int(found.version)
        held = list(found.aliases) if aliases is None else [a for a, n in aliases.items() if n == number]
        return ModelVersion(
            name=self.name,
            version=number,
            digest=found.tags[DIGEST_TAG],
            snapshot=found.tags[SNAPSHOT_TAG],
            configuration=found.tags[CONFIGURATION_TAG],
            run_id=found.run_id,
            aliases=tuple(sorted(held)),
            metrics=json.loads(found.tags.get(METRICS_TAG, "{}")),
        )


def _key(trained: TrainedModel) -> str:
    """Return what makes a model the same one again: data, configuration and weights."""
    return hashlib.sha256(f"{trained.snapshot} {trained.configuration} {trained.digest}".encode()).hexdigest()
