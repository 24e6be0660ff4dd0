"""Model versions in MLflow: registered once, found by alias, promoted without a moment without champion."""

import json
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from flows.contracts.model import Approval, ModelVersion, Reversion, TrainedModel
from flows.contracts.snapshot import Snapshot
from flows.registry.candidate import FOLDER, CandidateFile, verify
from flows.registry.card import CARD, DESCRIPTION_CHARACTERS, with_life
from flows.registry.connection import connect, sqlite_file, without_password
from flows.registry.evidence import Evidence, log_evidence
from flows.registry.failures import RegistryError, RegistryUnavailable, speaking_with
from flows.registry.lineage import Lineage, code_version, folder_name, parent_of
from flows.registry.registration import (
    BASE_MODEL_TAG,
    DIGEST_TAG,
    METRICS_TAG,
    PARENT_TAG,
    TEACHER_TAG,
    VALIDATION_TAG,
    Registration,
)
from flows.registry.runs import CONFIGURATION_TAG, SNAPSHOT_TAG, TrainingRun, mlflow_name, open_run
from flows.registry.succession import REPLACED_TAG, TAKEN_BACK_TAG, VERDICT_TAG, Succession
from flows.settings import RegistrySettings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

Alias = Literal["champion", "challenger", "previous"]
APPROVAL_TAG = "reranker.approval"

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
        self._succession = Succession(self._client, self.name)

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

    def lineage(self, trained: TrainedModel, settings: Mapping[str, Any], teacher: int | None = None) -> Lineage:
        """Return where `trained` comes from, with all the `settings` of its training, by the code that runs."""
        parent = parent_of(trained.started_from, self.name)
        base = self._base_model(parent) if parent is not None else trained.started_from
        return Lineage(code=code_version(), base_model=base, parent=parent, teacher=teacher, settings=settings)

    def register(
        self,
        trained: TrainedModel,
        metrics: Mapping[str, float],
        evidence: Evidence | None = None,
        lineage: Lineage | None = None,
        card: str = "",
    ) -> ModelVersion:
        """Make a version of `trained`, or return the one there is, and call it challenger unless it was judged.

        The version is made last, when its run holds the metrics and evidence and its files are complete, so a
        version that can be seen is whole. An attempt that died is taken up where it stopped.

        Args:
            trained: The model; its newest training run in MLflow is its run, or a run is made.
            metrics: Test metrics, such as `ndcg@10`.
            evidence: Kept under `evaluation/` of the run.
            lineage: Where it comes from; without it, what `trained` alone can tell.
            card: The model card in Markdown (`model_card`); becomes the version's description as well.
        """
        lineage = lineage or self.lineage(trained, {})
        if lineage.parent is not None:  # the folder is one of this machine, the version is everywhere the same
            trained = trained.model_copy(update={"started_from": f"models:/{self.name}/{lineage.parent}"})
        kept = {**(evidence or {}), **({CARD: card} if card else {})}
        registration = Registration(self._client, self.name, self._experiment_id())
        with speaking_with(self._shown, f"register {self.name}"):
            found = registration.version(trained, metrics, kept, lineage)
            if VERDICT_TAG not in found.tags:
                self._client.set_registered_model_alias(self.name, "challenger", found.version)
        return self.version(int(found.version))

    def attach(self, version: int, evidence: Evidence) -> None:
        """Keep more files under `evaluation/` of the version's run, such as the gate's decision; the newest wins."""
        run_id = self.version(version).run_id
        with speaking_with(self._shown, f"keep evidence of version {version}"):
            log_evidence(self._client, run_id, evidence)

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

    def ancestors(self, version: ModelVersion) -> list[ModelVersion]:
        """Return the version and those whose weights it started from, itself first."""
        line = [version]
        while (parent := line[-1].parent) is not None and parent < line[-1].version:
            line.append(self.version(parent))
        return line

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
            aliases = self._succession.aliases()
        return sorted((self._contract(v, aliases) for v in found), key=lambda v: v.version, reverse=True)

    def page(self, version: int) -> str | None:
        """Return the address of the version's page in MLflow's UI, None where there is no server."""
        if not self.tracking_uri.startswith("http"):
            return None
        return f"{self._shown.rstrip('/')}/#/models/{self.name}/versions/{version}"

    def promote(self, version: int, approval: Approval | None = None) -> ModelVersion:
        """Make `version` the champion, with the last word on it; the champion until now becomes `previous`.

        Each step leaves a champion in place, and repeating them after a crash gives the same end.
        """
        self.version(version)
        with speaking_with(self._shown, f"promote version {version}"):
            self._approve(version, approval)
            self._succession.promote(version)
        return self._retold(version)

    def reject(self, version: int, approval: Approval | None = None) -> ModelVersion:
        """Note that `version` was judged and not promoted; the champion stays. RegistryError for the champion."""
        self.version(version)
        with speaking_with(self._shown, f"reject version {version}"):
            self._succession.reject(version)
            self._approve(version, approval)
        return self._retold(version)

    def revert(self, to: int | None, by: str, reason: str, at: datetime) -> Reversion:
        """Put a former champion back and note it on both versions; `settle` ends it.

        Args:
            to: The version to put back; without it, the alias `previous`. Where that was done already, or an attempt
                died, the record of it is returned and the rest is done.
            by: Who wants it.
            reason: Why.
            at: When, with a time zone.

        Raises:
            RegistryError: there is no champion, no former one, or `to` never was champion.
        """
        with speaking_with(self._shown, "put the previous champion back"):
            reversion = self._succession.revert(to, by, reason, at)
        for version in (reversion.taken_back, reversion.put_back):
            self._retold(version)
        return reversion

    def reverting(self) -> bool:
        """Whether a revert has put a champion back and is not settled yet."""
        with speaking_with(self._shown, "find the aliases"):
            return self._succession.reverting()

    def settle(self) -> None:
        """End a revert: the alias `previous` goes, so that doing it again needs a version."""
        with speaking_with(self._shown, "end a revert"):
            self._succession.settle()

    def fetch(self, version: int, folder: Path) -> Path:
        """Return the CrossEncoder folder of `version` below `folder`: safetensors, tokenizer and reranker.json.

        Downloaded once and checked against the hashes that were registered; a download that broke off leaves
        nothing behind. RegistryError when the artifacts are damaged.
        """
        wanted = self.version(version)
        target = folder / folder_name(self.name, version, wanted.digest)
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

    def _approve(self, version: int, approval: Approval | None) -> None:
        if approval is not None:
            self._client.set_model_version_tag(self.name, str(version), APPROVAL_TAG, approval.model_dump_json())

    def _retold(self, version: int) -> ModelVersion:
        """Return the version, its card brought up to what became of it."""
        found = self.version(version)
        with speaking_with(self._shown, f"keep the card of version {version}"):
            if CARD in {Path(file.path).name for file in self._client.list_artifacts(found.run_id, "evaluation")}:
                with tempfile.TemporaryDirectory() as temporary:
                    path = self._client.download_artifacts(found.run_id, f"evaluation/{CARD}", temporary)
                    card = with_life(Path(path).read_text("utf-8"), found)
                log_evidence(self._client, found.run_id, {CARD: card})
                description = with_life(card, found, DESCRIPTION_CHARACTERS)
                self._client.update_model_version(self.name, str(version), description)
        return found

    def _base_model(self, version: int) -> str:
        """Return the root of the version's ancestors; of one that was registered before this was kept, its start."""
        with speaking_with(self._shown, f"find {self.name} version {version}"):
            tags = self._client.get_model_version(self.name, str(version)).tags
        return str(tags[BASE_MODEL_TAG]) if BASE_MODEL_TAG in tags else self.about(version).started_from

    def _by_alias(self, alias: Alias) -> ModelVersion | None:
        with speaking_with(self._shown, f"find the {alias}"):
            number = self._succession.aliases().get(alias)
        return None if number is None else self.version(number)

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
            validation=json.loads(found.tags.get(VALIDATION_TAG, "{}")),
            parent=_number(found.tags.get(PARENT_TAG)),
            teacher=_number(found.tags.get(TEACHER_TAG)),
            was_champion=found.tags.get(VERDICT_TAG) == "promoted",
            replaced=_number(found.tags.get(REPLACED_TAG)),
            approval=Approval.model_validate_json(found.tags[APPROVAL_TAG]) if APPROVAL_TAG in found.tags else None,
            taken_back=Reversion.model_validate_json(found.tags[TAKEN_BACK_TAG])
            if TAKEN_BACK_TAG in found.tags
            else None,
        )


def _number(tag: str | None) -> int | None:
    return None if tag is None else int(tag)
