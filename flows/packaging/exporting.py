"""A CrossEncoder folder becomes what serves: exported, quantised, verified, and in the engine that does best here."""

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from bento.model.manifest import Manifest, file_digest
from bento.model.model import Model
from bento.model.tokenization import TOKENIZER_FILE, PairTokenizer
from bento.model.unusual import UnusualInputs
from flows.contracts.model import ModelVersion
from flows.contracts.release import ScoredPair
from flows.contracts.snapshot import Snapshot
from flows.packaging.choosing import choose
from flows.packaging.cross_encoder import load, max_length, write_onnx
from flows.packaging.engines import FP32_ONNX, files_of
from flows.packaging.rejudging import Victory
from flows.settings import PackagingSettings

logger = logging.getLogger(__name__)

CHECKS_FILE = "checks.json"
_CHECKS = TypeAdapter(tuple[ScoredPair, ...])

CHECK_PAIRS = (
    ("how do I sort a list", "sorted() returns a new sorted list from the items of an iterable."),
    ("how do I sort a list", "The cat sat on the mat and looked out of the window."),
    ("mean of an array", "Compute the arithmetic mean along the specified axis."),
    ("mean of an array", "Return a copy of the array collapsed into one dimension."),
    ("wie wird das Wetter?", "Über den Bergen scheint morgen die Sonne, im Tal bleibt es grau. ☀"),
    ("empty document", ""),
    ("a", "b"),
    ("longer than any model reads " * 100, "short"),
    ("short", "longer than any model reads, so it must be cut just as in training; " * 100),
    ("both are long " * 60, "and the longer of the two is cut first " * 60),
)
"""Our own sentences, so that no person's text travels inside a Bento: short, long, empty, not ASCII."""


class ExportedModel(BaseModel):
    """A model ready to serve, on disk: `reranker.json` with the files it names, and `checks.json`."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    manifest: Manifest
    checks: tuple[ScoredPair, ...]
    """Pairs with the chosen engine's scores, for whoever rolls the model out."""

    @classmethod
    def open(cls, folder: Path) -> "ExportedModel":
        """Open a finished export; FileNotFoundError when `folder` holds none."""
        return cls(
            folder=folder,
            manifest=Manifest.read(folder),
            checks=_CHECKS.validate_json((folder / CHECKS_FILE).read_bytes()),
        )


def export(
    model_folder: Path,
    output: Path,
    version: ModelVersion,
    settings: PackagingSettings,
    snapshot: Snapshot | None = None,
    progress: Callable[[str], None] = logger.info,
    victory: Victory | None = None,
) -> ExportedModel:
    """Export the CrossEncoder in `model_folder` to `output`, in the fastest allowed engine that is fit on this host.

    A finished export of the same version with the same settings in `output` is returned as it is; a half-finished
    one is never seen there.

    Args:
        model_folder: A CrossEncoder of the BERT kind with one logit, as sentence-transformers saves it.
        output: Folder to make.
        version: The registered version that the folder holds.
        settings: Which engines may be chosen, and what they must show.
        snapshot: Real pairs: those of the training split set the ranges of int8 and the detector of unusual inputs,
            those of the test split judge. Without it, int8 is not used and nothing is called unusual.
        progress: Told each step.
        victory: What the version won against on that test split; the engine that ships must win there too.

    Raises:
        ExportFailed: The folder holds no such CrossEncoder.
        ExportDiffers: The export scores otherwise than the trained model, or no allowed engine is fit.
    """
    configuration = settings.digest() + (f"-{victory.digest()}" if victory else "")
    if finished := _finished(output, version, configuration):
        progress(f"{version.name} v{version.version} is exported already")
        return finished
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as temporary:
        work, folder = Path(temporary) / "candidates", Path(temporary) / "export"
        work.mkdir()
        folder.mkdir()
        progress(f"exporting {version.name} v{version.version} to ONNX")
        model = load(model_folder)
        model.tokenizer.backend_tokenizer.save(str(work / TOKENIZER_FILE))
        tokenizer = PairTokenizer(work, max_length(model, model_folder))
        write_onnx(model, work / FP32_ONNX)
        choice, measurements = choose(model, work, tokenizer, settings, snapshot, CHECK_PAIRS, progress, victory)
        for name in (TOKENIZER_FILE, *files_of(choice)):
            shutil.move(work / name, folder / name)
        _fit_detector(tokenizer, snapshot, folder, progress)
        Manifest(
            name=version.name,
            version=version.version,
            digest=version.digest,
            snapshot=version.snapshot,
            max_length=tokenizer.max_length,
            engine=choice,
            files={path.name: file_digest(path) for path in sorted(folder.iterdir())},
            configuration=configuration,
            measurements=measurements,
        ).write(folder)
        (folder / CHECKS_FILE).write_bytes(_CHECKS.dump_json(_checks(folder), indent=2))
        if output.exists():
            shutil.rmtree(output)
        folder.rename(output)
    return ExportedModel.open(output)


def _finished(output: Path, version: ModelVersion, configuration: str) -> ExportedModel | None:
    try:
        found = ExportedModel.open(output)
    except (FileNotFoundError, ValidationError):  # none, or one of before there was a choice of engines
        return None
    same = (found.manifest.digest, found.manifest.configuration) == (version.digest, configuration)
    return found if same and found.manifest.version == version.version else None


def _fit_detector(
    tokenizer: PairTokenizer, snapshot: Snapshot | None, folder: Path, progress: Callable[[str], None]
) -> None:
    if snapshot is None:
        return
    training = snapshot.table("train")
    queries, documents = (
        tokenizer.token_ids(list(dict.fromkeys(training[side].to_pylist()))) for side in ("query", "document")
    )
    try:
        UnusualInputs.fit(queries, documents, tokenizer.vocabulary_size).save(folder)
    except ValueError as too_few:
        progress(f"no input will be called unusual: {too_few}")


def _checks(folder: Path) -> tuple[ScoredPair, ...]:
    """Score CHECK_PAIRS as the service will: opened from the folder that travels, each pair alone."""
    model = Model.open(folder, threads=1)
    return tuple(
        ScoredPair(query=query, document=document, score=_score(model, query, document))
        for query, document in CHECK_PAIRS
    )


def _score(model: Model, query: str, document: str) -> float:
    (logit,) = model.engine.run(model.encode([(query, document)])).tolist()
    return float(0.5 * (1.0 + np.tanh(0.5 * logit)))
