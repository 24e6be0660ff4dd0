"""All settings, typed and frozen; no other module reads the environment.

Every field can be set as `RERANKER_<SECTION>__<FIELD>`, for example `RERANKER_TRAINING__EPOCHS=2`, or in a
`.env` file in the working directory. Capabilities take the section they need as an argument.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableSetting

from flows.settings.pairs import CleaningSettings, StoreSettings, ValidationSettings
from flows.settings.promotion import ApprovalSettings, GateSettings, NoticeSettings, RegistrySettings
from flows.settings.retrieval import MiningSettings, RetrievalSettings
from flows.settings.section import Section
from flows.settings.serving import HostSettings, PackagingSettings, ServerSettings
from flows.settings.training import StudentSettings, TrainingSettings
from flows.settings.watching import DriftSettings, GrowthSettings, QualitySettings, TriggerSettings

__all__ = [
    "ApprovalSettings",
    "CleaningSettings",
    "DriftSettings",
    "GateSettings",
    "GrowthSettings",
    "HostSettings",
    "MiningSettings",
    "NoticeSettings",
    "PackagingSettings",
    "QualitySettings",
    "RegistrySettings",
    "RetrievalSettings",
    "Section",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "StoreSettings",
    "StudentSettings",
    "TrainingSettings",
    "TriggerSettings",
    "ValidationSettings",
    "load_settings",
]

_PREFIX, _DELIMITER, _FILE = "RERANKER_", "__", ".env"


class SettingsError(Exception):
    """A setting is wrong; the message names its environment variable and never its value, which may be a secret."""


class Settings(BaseSettings):
    """Everything that can be chosen. `local` embeds every part; `aws` needs the accounts it names."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter=_DELIMITER,
        env_parse_none_str="null",
        env_file=_FILE,
        frozen=True,
        extra="ignore",
    )

    profile: Literal["local", "aws"] = Field("local", description="Where the parts run.")
    home: Path = Field(Path(".reranker"), description="The one folder that holds all local state.")

    servers: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    cleaning: CleaningSettings = CleaningSettings()
    validation: ValidationSettings = ValidationSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    training: TrainingSettings = TrainingSettings()
    student: StudentSettings = StudentSettings()
    gate: GateSettings = GateSettings()
    approval: ApprovalSettings = ApprovalSettings()
    notice: NoticeSettings = NoticeSettings()
    registry: RegistrySettings = RegistrySettings()
    packaging: PackagingSettings = PackagingSettings()
    host: HostSettings = HostSettings()
    drift: DriftSettings = DriftSettings()
    triggers: TriggerSettings = TriggerSettings()

    growth: GrowthSettings = GrowthSettings()
    quality: QualitySettings = QualitySettings()

    _absolute_home: Path = PrivateAttr()

    @model_validator(mode="after")
    def _complete_for_profile(self) -> "Settings":
        self._absolute_home = self.home.expanduser().absolute()
        if self.profile == "aws" and self.store.kind == "supabase":
            missing = [n for n in ("supabase_url", "supabase_key") if getattr(self.store, n) is None]
            if missing:
                names = ", ".join(f"RERANKER_STORE__{name.upper()}" for name in missing)
                raise ValueError(f"the Supabase store needs {names}: set them, or RERANKER_STORE__KIND=sqlite")
        if self.profile == "aws" and self.retrieval.index == "qdrant" and self.retrieval.qdrant_url is None:
            raise ValueError(
                "the profile aws needs RERANKER_RETRIEVAL__QDRANT_URL: set it, or RERANKER_RETRIEVAL__INDEX=memory"
            )
        return self

    def folder(self, *parts: str) -> Path:
        """Return (and make) a folder under `home`, as an absolute path: `folder("snapshots")`.

        SettingsError where it cannot be made.
        """
        path = self._absolute_home.joinpath(*parts)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"the folder {path} cannot be made ({error.strerror}): choose another home with RERANKER_HOME"
            ) from error
        return path

    def file(self, *parts: str) -> Path:
        """Return the absolute path of a file under `home`, its folder made: `file("labels.db")`."""
        return self.folder(*parts[:-1]) / parts[-1]

    @property
    def prediction_log(self) -> Path:
        """The folder in which the service records what it is asked and told."""
        if self.host.predictions is not None:
            return self.host.predictions.expanduser().absolute()
        return self._absolute_home / "predictions"

    @property
    def service_url(self) -> str:
        """Where the reranking service answers."""
        return f"http://127.0.0.1:{self.host.port}"

    def report_url(self, report: Path) -> str:
        """Return the address under which the reports server shows a file of the folder `reports`."""
        below = report.absolute().relative_to(self.folder("reports"))
        return f"http://127.0.0.1:{self.servers.reports_port}/{below.as_posix()}"


@lru_cache(maxsize=1)
def load_settings(**overrides: Any) -> Settings:
    """Read the settings once for this process; SettingsError names the environment variables that are wrong."""
    _refuse_unknown_sections()
    try:
        return Settings(**overrides)
    except UnreadableSetting as failure:  # says the section alone; its cause holds the value
        found = re.search(r'field "(\w+)"', str(failure))
        section = _PREFIX + (found[1].upper() if found else "")
        raise SettingsError(
            f"{section}{_DELIMITER}...: a list or group here is no JSON; write a list as '[\"bce\"]' or '[3]'"
        ) from None
    except ValidationError as failure:
        faults = failure.errors(include_input=False, include_url=False)
    raise SettingsError("\n".join(_in_words(fault["loc"], fault["type"], fault["msg"]) for fault in faults))


def _refuse_unknown_sections() -> None:
    """Say so where a section's name is mistyped: Pydantic would pass over it, and the default would stand."""
    for name in (*os.environ, *dotenv_values(_FILE)):
        section, delimiter, _ = name.upper().removeprefix(_PREFIX).lower().partition(_DELIMITER)
        if name.upper().startswith(_PREFIX) and delimiter and section not in Settings.model_fields:
            raise SettingsError(f"{name}: there is no section {section!r}; see the files in flows/settings")


def _in_words(place: tuple[int | str, ...], kind: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not place:
        return message
    variable = _PREFIX + _DELIMITER.join(map(str, place)).upper()
    if kind == "extra_forbidden":
        return f"{variable}: there is no such setting; see the files in flows/settings"
    return f"{variable}: {message}"
