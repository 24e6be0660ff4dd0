"""Where a version comes from: the code, the start of its weights, and every setting of its training."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = "reranker-mlops"


class Lineage(BaseModel):
    """What, with the snapshot, would make the same model again."""

    model_config = ConfigDict(frozen=True)

    code: str
    """Commit of the code that trained it, or the version of the package."""
    base_model: str
    """Name or path of the weights at the root of its ancestors."""
    parent: int | None
    """The champion whose weights it started from; None where it started from the base model."""
    teacher: int | None = None
    """The version that a student was distilled from, which is its parent; None where it was trained on labels."""
    settings: Mapping[str, Any]
    """All training settings; of a student, those of its distillation too."""


def code_version(root: Path = _ROOT) -> str:
    """Return the commit checked out in `root`, with `-dirty` where files differ, else the package's version."""
    git = shutil.which("git")
    if git and (root / ".git").exists():
        described = [git, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
        asked = subprocess.run(described, cwd=root, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
        if asked.returncode == 0 and asked.stdout.strip():
            return asked.stdout.strip()
    return f"{_PACKAGE} {installed(_PACKAGE)}"


def folder_name(model: str, version: int, digest: str) -> str:
    """Return the name of the folder in which a fetched version lies: it tells later what a training started from."""
    return f"{model}-{version}-{digest[:16]}"


def parent_of(started_from: str, model: str) -> int | None:
    """Return the version of `model` that a training started from, None where that was a base model."""
    found = re.fullmatch(rf"{re.escape(model)}-(\d+)-[0-9a-f]{{16}}", Path(started_from).name)
    return int(found[1]) if found else None
