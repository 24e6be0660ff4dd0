"""A CrossEncoder of two small layers with random weights and a tokenizer made here, and its export."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from flows.contracts.model import ModelVersion
from flows.packaging import ExportedModel, export
from flows.settings import PackagingSettings

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


def save_cross_encoder(folder: Path, outputs: int = 1) -> None:
    """Save a CrossEncoder as sentence-transformers does; large weights, so that scores spread over 0..1."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    raw = folder.with_name(folder.name + "-raw")
    raw.mkdir(parents=True)
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *WORDS, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = list(dict.fromkeys(entries))
    (raw / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    torch.manual_seed(5)
    configuration = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=outputs,
        initializer_range=0.5,
    )
    BertForSequenceClassification(configuration).save_pretrained(raw)
    BertTokenizerFast(str(raw / "vocab.txt"), model_max_length=MAX_LENGTH).save_pretrained(raw)
    CrossEncoder(str(raw), device="cpu").save_pretrained(str(folder))


@functools.cache
def trained() -> Path:
    """Return the folder of the trained model, made once in this process."""
    home = Path(tempfile.mkdtemp(prefix="tiny-model-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    save_cross_encoder(home / "trained")
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
