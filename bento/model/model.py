"""A packaged model, opened: its identity, its tokenizer and its engine."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bento.model.encoded import EncodedPair
from bento.model.engine import Engine, UnusableModelError
from bento.model.manifest import EngineChoice, Manifest, file_digest
from bento.model.tokenization import PairTokenizer
from bento.model.unusual import UnusualInputs

logger = logging.getLogger(__name__)


def open_engine(folder: Path, choice: EngineChoice, threads: int) -> Engine:
    """Open the chosen engine with `threads` streams; only its library is imported."""
    file = folder / choice.file
    if not file.is_file():
        raise UnusableModelError(f"{folder} has no {choice.file}: package the model again")
    if choice.library == "openvino":
        from bento.model.openvino import OpenVinoEngine

        return OpenVinoEngine(file, threads)
    from bento.model.onnx import OnnxEngine

    return OnnxEngine(file, threads, choice.precision)


class Model:
    """What scores pairs. Safe to use from several threads."""

    def __init__(self, manifest: Manifest, tokenizer: PairTokenizer, engine: Engine, digest_matches: bool) -> None:
        self.manifest = manifest
        self.engine = engine
        self.digest_matches = digest_matches
        """Whether every file is the one that was packaged."""
        self._tokenizer = tokenizer

    @classmethod
    def open(cls, folder: Path, threads: int) -> "Model":
        """Load the model in `folder` and run it once.

        Files that are not those that were packaged are told in the log and by `digest_matches`.

        Raises:
            UnusableModelError: a file is missing or broken, or the scores are no numbers.
        """
        manifest = Manifest.read(folder)
        digest_matches = _verify(folder, manifest)
        tokenizer = PairTokenizer(folder, manifest.max_length, UnusualInputs.load(folder))
        model = cls(manifest, tokenizer, open_engine(folder, manifest.engine, threads), digest_matches)
        model._warm_up()
        return model

    @property
    def max_length(self) -> int:
        """Tokens of query and document together, special tokens included."""
        return self.manifest.max_length

    def encode(self, pairs: Sequence[tuple[str, str]], max_document_tokens: int | None = None) -> list[EncodedPair]:
        """Return the tokens of each (query, document), in order; see `PairTokenizer.encode`."""
        return self._tokenizer.encode(pairs, max_document_tokens)

    def _warm_up(self) -> None:
        """Run the shortest and the longest pair, so that the memory which requests will need is taken now."""
        for words in (1, self.max_length):
            logits = self.engine.run(self.encode([("warm", "up " * words)]))
            if not np.isfinite(logits).all():
                raise UnusableModelError(
                    f"{self.manifest.model} gives scores that are no numbers: train and package it again"
                )


def _verify(folder: Path, manifest: Manifest) -> bool:
    wrong = [
        name
        for name, digest in manifest.files.items()
        if not (folder / name).is_file() or file_digest(folder / name) != digest
    ]
    if wrong:
        logger.error(
            "%s is not what was packaged: %s differ from reranker.json. Package it again; find out who changed it.",
            folder,
            ", ".join(wrong),
        )
    return not wrong
