"""What a registered model is made of, on disk."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.contracts.model import TrainedModel
from flows.registry.failures import RegistryError
from flows.registry.lineage import Lineage

if TYPE_CHECKING:
    from mlflow.models import Model

FOLDER = "cross_encoder"
"""The CrossEncoder's folder among the artifacts of the MLflow model."""
ABOUT = "reranker.json"

_PICKLED = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}


class CandidateFile(BaseModel):
    """`reranker.json`, which travels with the weights: all that serving needs to know about them."""

    model_config = ConfigDict(frozen=True)

    max_length: int
    """Tokens of query and document together."""
    score_transform: Literal["sigmoid"] = "sigmoid"
    """From the model's logit to the score."""
    digest: str
    snapshot: str
    configuration: str
    started_from: str
    lineage: Lineage | None = None
    """None in what was registered before it was kept."""
    metrics: Mapping[str, float]
    files: Mapping[str, str]
    """SHA-256 of every other file in the folder, by its relative path."""

    @classmethod
    def read(cls, folder: Path) -> "CandidateFile":
        """Read it from a candidate's folder; RegistryError where it is missing or wrong."""
        try:
            return cls.model_validate_json((folder / ABOUT).read_text("utf-8"))
        except (OSError, ValidationError) as error:
            raise RegistryError(f"{folder} is not a registered model: {ABOUT} cannot be read ({error}).") from error


def stage(
    trained: TrainedModel, metrics: Mapping[str, float], lineage: Lineage, description: "Model", target: Path
) -> None:
    """Write the MLflow model of `trained` to the new folder `target`; `description` is MLflow's own of it.

    Raises RegistryError where the trained folder has no safetensors, or weights that were pickled.
    """
    import mlflow.pyfunc
    import numpy as np
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    _check_weights(trained.folder)
    folder = target.with_name(FOLDER)
    shutil.copytree(trained.folder, folder, copy_function=_link)
    about = CandidateFile(
        max_length=trained.max_length,
        digest=trained.digest,
        snapshot=trained.snapshot,
        configuration=trained.configuration,
        started_from=trained.started_from,
        lineage=lineage,
        metrics=metrics,
        files=hashes(folder),
    )
    (folder / ABOUT).unlink(missing_ok=True)  # a link: writing through it would change the trained folder
    (folder / ABOUT).write_text(about.model_dump_json(indent=2), "utf-8")
    mlflow.pyfunc.save_model(
        str(target),
        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
        artifacts={FOLDER: str(folder)},
        signature=ModelSignature(
            inputs=Schema([ColSpec(DataType.string, "query"), ColSpec(DataType.string, "document")]),
            outputs=Schema([TensorSpec(np.dtype("float32"), (-1,))]),
        ),
        input_example=pd.DataFrame({"query": ["how do I sort a list"], "document": ["sorted() returns a new list."]}),
        pip_requirements=_requirements(),
        mlflow_model=description,
    )


def verify(folder: Path) -> CandidateFile:
    """Return what `folder` says about itself; RegistryError where a file is missing or was changed since."""
    about = CandidateFile.read(folder)
    found = hashes(folder)
    wrong = sorted(name for name, digest in about.files.items() if found.get(name) != digest)
    if wrong:
        raise RegistryError(
            f"The model in {folder} is damaged: {', '.join(wrong)} differ from what was registered. Restore the "
            "artifacts of this version, or register the model again."
        )
    return about


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder` but `reranker.json`, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / ABOUT)
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_weights(folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        raise RegistryError(f"{folder} cannot be registered: it holds no safetensors. Save the trained model there.")
    pickled = sorted(path.name for path in folder.rglob("*") if path.suffix in _PICKLED)
    if pickled:
        raise RegistryError(
            f"{folder} cannot be registered: {', '.join(pickled)} may run code when loaded. Keep safetensors alone."
        )


def _link(source: str, target: str) -> None:
    """Link instead of copying, where the file system can: the weights are large and only read."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _requirements() -> list[str]:
    """Pin what `pyfunc_model.py` imports as it is installed here, without local labels such as +cpu."""
    packages = ("mlflow", "numpy", "pandas", "sentence-transformers", "torch", "transformers")
    return [f"{package}=={version(package).partition('+')[0]}" for package in packages]
