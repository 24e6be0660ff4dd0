"""An exported model becomes a BentoML model, and with the service's sources a Bento."""

import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from flows.contracts.model import ModelVersion
from flows.contracts.release import PackagedBento
from flows.packaging.exporting import ExportedModel
from flows.packaging.failures import BuildFailed
from flows.settings import PackagingSettings

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).parents[2]
"""Where bentofile.yaml and bento/ are."""


def build_bento(
    exported: ExportedModel, version: ModelVersion, settings: PackagingSettings, store: Path, sources: Path = SOURCES
) -> PackagedBento:
    """Build the Bento that serves `exported`, or return the one that was built from the same model and sources.

    Both the BentoML model and the Bento carry the labels `model_version`, `snapshot`, `digest` and `engine`; the
    model's metadata holds what was measured. Nothing needs a network.

    Args:
        exported: The verified export.
        version: The registered version behind it.
        settings: Names the Bento.
        store: BentoML's home folder (BENTOML_HOME); made when missing.
        sources: The folder of bentofile.yaml.

    Raises:
        BuildFailed: BentoML refused; the message holds its last words.
    """
    digest = _digest(exported, sources)
    model_digest = hashlib.sha256(exported.manifest.model_dump_json().encode()).hexdigest()
    bento = PackagedBento(
        tag=f"{settings.service}:v{version.version}-{digest[:12]}",
        model_tag=f"{settings.service}:v{version.version}-{model_digest[:12]}",
        store=store.absolute(),
        model_name=version.name,
        model_version=version.version,
        snapshot=version.snapshot,
        engine=exported.manifest.engine.name,
        digest=digest,
        checks=exported.checks,
    )
    if (bento.path / "bento.yaml").is_file():
        logger.info("%s is built already", bento.tag)
        return bento
    _build(bento, exported, sources)
    return bento


def _build(bento: PackagedBento, exported: ExportedModel, sources: Path) -> None:
    """Run BentoML in a process of its own: building imports the service and changes folder and paths under it."""
    order = {
        "tag": bento.tag,
        "model_tag": bento.model_tag,
        "model_folder": str(exported.folder),
        "bentofile": str(sources / "bentofile.yaml"),
        "labels": {
            "model_name": bento.model_name,
            "model_version": str(bento.model_version),
            "snapshot": bento.snapshot,
            "digest": bento.digest,
            "engine": bento.engine,
        },
        "metadata": {
            "digest": exported.manifest.digest,
            "measurements": [
                measurement.model_dump(mode="json", exclude_none=True)
                for measurement in exported.manifest.measurements
            ],
        },
    }
    bento.store.mkdir(parents=True, exist_ok=True)
    builder = Path(__file__).with_name("bento_builder.py")
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(builder)],
        input=json.dumps(order),
        env=os.environ | {"BENTOML_HOME": str(bento.store), "BENTOML_DO_NOT_TRACK": "true"},
        cwd=sources,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last_words = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise BuildFailed(f"BentoML could not build {bento.tag} from {sources / 'bentofile.yaml'}:\n{last_words}")


def _digest(exported: ExportedModel, sources: Path) -> str:
    total = hashlib.sha256(exported.manifest.model_dump_json().encode())
    service = sources / "bento"
    for path in [sources / "bentofile.yaml", service / "requirements.txt", *sorted(service.rglob("*.py"))]:
        name = path.relative_to(sources).as_posix()
        total.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
