"""A CrossEncoder folder becomes ONNX, and is believed only when it scores as the trained model does."""

import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from bento.manifest import Manifest
from flows.contracts.model import ModelVersion
from flows.contracts.release import ScoredPair
from flows.packaging.failures import ExportDiffers, ExportFailed
from flows.settings import PackagingSettings

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

logger = logging.getLogger(__name__)

CHECKS_FILE = "checks.json"
_CHECKS = TypeAdapter(tuple[ScoredPair, ...])
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

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
    """An exported model on disk: `model.onnx`, `tokenizer.json`, `reranker.json`, `checks.json`."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    manifest: Manifest
    checks: tuple[ScoredPair, ...]
    """Pairs with the trained model's scores, for whoever rolls the model out."""

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
    sample: Sequence[tuple[str, str]] = (),
    progress: Callable[[str], None] = logger.info,
) -> ExportedModel:
    """Export the CrossEncoder in `model_folder` to `output` and verify it in the engine that will serve it.

    A finished export of the same version in `output` is returned as it is; a half-finished one is never seen there.

    Args:
        model_folder: A CrossEncoder of the BERT kind with one logit, as sentence-transformers saves it.
        output: Folder to make.
        version: The registered version that the folder holds.
        settings: `max_score_difference` decides.
        sample: More pairs to verify with, such as some of the test split; they are compared and not kept.
        progress: Told each step.

    Raises:
        ExportFailed: The folder holds no such CrossEncoder.
        ExportDiffers: A score differs by more than `settings.max_score_difference`.
    """
    if (output / CHECKS_FILE).is_file() and Manifest.read(output).digest == version.digest:
        progress(f"{version.name} v{version.version} is exported already")
        return ExportedModel.open(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as work:
        folder = Path(work) / "export"
        folder.mkdir()
        progress(f"exporting {version.name} v{version.version} to ONNX")
        model = _load(model_folder)
        _write_onnx(model, folder / "model.onnx")
        model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        Manifest(
            name=version.name,
            version=version.version,
            digest=version.digest,
            snapshot=version.snapshot,
            max_length=_max_length(model, model_folder),
        ).write(folder)
        pairs = [*CHECK_PAIRS, *sample]
        progress(f"comparing {len(pairs)} scores with the trained model's")
        expected = _verify(model, folder, pairs, settings.max_score_difference)
        checks = tuple(
            ScoredPair(query=query, document=document, score=score)
            for (query, document), score in zip(CHECK_PAIRS, expected, strict=False)
        )
        (folder / CHECKS_FILE).write_bytes(_CHECKS.dump_json(checks, indent=2))
        if output.exists():
            shutil.rmtree(output)
        folder.rename(output)
    return ExportedModel.open(output)


def _load(folder: Path) -> "CrossEncoder":
    from sentence_transformers import CrossEncoder

    if not (folder / "config.json").is_file():
        raise ExportFailed(
            f"No CrossEncoder in {folder}: config.json is missing. Train a challenger, or fetch the model."
        )
    model: CrossEncoder = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    if model.num_labels != 1:
        raise ExportFailed(
            f"The model in {folder} has {model.num_labels} outputs: a reranker has one. Train it with one."
        )
    if getattr(model.tokenizer, "backend_tokenizer", None) is None or not _takes_token_types(model):
        raise ExportFailed(f"The model in {folder} is not of the BERT kind, which alone can be exported so far.")
    model.eval()
    return model


def _takes_token_types(model: "CrossEncoder") -> bool:
    return set(_INPUTS) <= set(model.tokenizer("query", "document"))


def _max_length(model: "CrossEncoder", folder: Path) -> int:
    length = model.max_seq_length
    if length is None or length > _network(model).config.max_position_embeddings:
        raise ExportFailed(
            f"The tokenizer in {folder} sets no usable limit of tokens ({length}): "
            "save the CrossEncoder with max_length set."
        )
    return int(length)


def _network(model: "CrossEncoder") -> Any:
    """Return the transformers model inside."""
    return model.model


def _write_onnx(model: "CrossEncoder", path: Path) -> None:
    import torch

    class Logits(torch.nn.Module):
        """The network with its inputs in a fixed order, and its logits alone."""

        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            fed = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
            return self.network(**fed).logits

    network = _network(model)
    example = model.tokenizer(["a query", "another"], ["a document", "b"], padding=True, return_tensors="pt")
    size = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=network.config.max_position_embeddings)}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own insides; the comparison of scores is the judge
        torch.onnx.export(
            Logits(network).eval(),
            tuple(example[name] for name in _INPUTS),
            str(path),
            input_names=list(_INPUTS),
            output_names=["logits"],
            dynamic_shapes=(size, size, size),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _verify(model: "CrossEncoder", folder: Path, pairs: Sequence[tuple[str, str]], limit: float) -> list[float]:
    import torch

    from bento.engine import OnnxEngine

    expected = model.predict(list(pairs), activation_fn=torch.nn.Sigmoid(), show_progress_bar=False)
    served = OnnxEngine(folder, threads=torch.get_num_threads()).score(pairs)
    difference = np.abs(served - expected)
    worst = int(np.argmax(difference))
    if not difference[worst] <= limit:
        raise ExportDiffers(
            f"The exported model differs by {difference[worst]:.2g} from the trained one on pair {worst} of "
            f"{len(pairs)}, and {limit:g} is allowed (RERANKER_PACKAGING__MAX_SCORE_DIFFERENCE). It was not packaged."
        )
    return [float(score) for score in expected]
