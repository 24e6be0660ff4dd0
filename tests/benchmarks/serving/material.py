"""What is served: a Bento of the trained model, and the same model as Infinity reads it."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bento.model.manifest import Manifest
from flows.contracts.model import ModelVersion
from flows.contracts.release import PackagedBento
from flows.packaging import build_bento, export, quantise_onnx
from flows.packaging.cross_encoder import load, write_onnx
from flows.settings import PackagingSettings
from flows.snapshot import find

TOKENIZER_FILES = "config.json", "tokenizer.json", "tokenizer_config.json"


@dataclass(frozen=True)
class Material:
    """Everything on disk that the systems read."""

    bento: PackagedBento
    manifest: Manifest
    """Of what the service serves: it says which engine was chosen, and what the others did."""
    trained: Path
    """The CrossEncoder folder, which Infinity's torch engine reads as it is."""
    fp32: Path
    """ONNX."""
    infinity: Path
    """A folder as Infinity's optimum engine wants it: `onnx/model_quantized.onnx`, configuration, tokenizer."""

    @property
    def served(self) -> Path:
        """The folder of the BentoML model, which the service and the bare engine read."""
        name, _, version = self.bento.model_tag.partition(":")
        return self.bento.store / "models" / name / version

    @property
    def int8(self) -> Path:
        """The ONNX file that Infinity serves."""
        return self.infinity / "onnx" / "model_quantized.onnx"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer of all of them."""
        return self.trained / "tokenizer.json"


def prepare(trained: Path, snapshots: Path | None, kept: Path, work: Path) -> Material:
    """Package the CrossEncoder in `trained` as a release would be, and write Infinity's files.

    Args:
        trained: With the `reranker.json` that training writes.
        snapshots: Packaging measures engines on the newest snapshot in it; without one it uses no int8.
        kept: Folder for what depends on the model alone; what is there already is used again.
        work: Folder for the Bento, which is built from the present sources each time.
    """
    written = json.loads((trained / "reranker.json").read_text())
    version = ModelVersion(
        name="reranker",
        version=1,
        digest=written["digest"],
        snapshot=written["snapshot"],
        configuration=written["configuration"],
        run_id="benchmark",
    )
    settings = PackagingSettings()
    snapshot = find(snapshots) if snapshots else None
    exported = export(trained, kept / "export", version, settings, snapshot, _say)
    bento = build_bento(exported, version, settings, work / "bentoml")
    material = Material(bento, exported.manifest, trained, kept / "model.onnx", kept / "infinity")
    if not material.int8.is_file():
        _say("exporting and quantising for Infinity")
        material.int8.parent.mkdir(parents=True, exist_ok=True)
        for name in TOKENIZER_FILES:
            shutil.copy(trained / name, material.infinity / name)
        write_onnx(load(trained), material.fp32)
        quantise_onnx(material.fp32, material.int8)
    return material


def _say(step: str) -> None:
    print(step, file=sys.stderr)
