"""A CrossEncoder of two small layers with random weights and a tokenizer made here, and its export."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from flows.contracts.model import ModelVersion
from flows.packaging import ExportedModel, export
from flows.settings import PackagingSettings
from tests.tiny_bert import save_bert, save_cross_encoder

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = [
    "how",
    "do",
    "sort",
    "list",
    "in",
    "python",
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "numpy",
    "array",
    "mean",
    "of",
]
MAX_LENGTH = 48

SETTINGS = PackagingSettings(engines=("onnxruntime-fp32",), measuring_seconds=0.05)
"""One engine, so that it is the same one on every machine."""


def version(number: int) -> ModelVersion:
    """Return a registered version; its digest follows from its number."""
    return ModelVersion(
        name="reranker",
        version=number,
        digest=f"{number:064x}",
        snapshot="5" * 64,
        configuration="c" * 64,
        run_id="run",
    )


def save_trained(folder: Path, outputs: int = 1) -> None:
    """Save a CrossEncoder with large weights, so that scores spread over 0..1; what it is made of lies beside it."""
    words = [*LETTERS, *WORDS, *(f"##{letter}" for letter in LETTERS)]
    raw = folder.with_name(folder.name + "-raw")
    save_bert(raw, words, seed=5, outputs=outputs, spread=0.5, max_length=MAX_LENGTH)
    save_cross_encoder(folder, raw)


@functools.cache
def trained() -> Path:
    """Return the folder of the trained model, made once in this process."""
    home = Path(tempfile.mkdtemp(prefix="tiny-model-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    save_trained(home / "trained")
    return home / "trained"


@functools.cache
def exported() -> ExportedModel:
    """Return version 1, exported and verified, made once in this process."""
    return export(trained(), trained().with_name("export"), version(1), SETTINGS)


def exported_as(number: int, folder: Path) -> ExportedModel:
    """Return the same export under another version number, in `folder`."""
    shutil.copytree(exported().folder, folder)
    exported().manifest.model_copy(update={"version": number, "digest": version(number).digest}).write(folder)
    return ExportedModel.open(folder)
