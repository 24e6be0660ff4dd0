"""The model behind the service: tokenizer and network, behind an interface that other engines can implement."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from bento.manifest import Manifest

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"

CHARACTERS_PER_TOKEN, MIN_CHARACTERS = 32, 4_096
"""Text beyond `max_length` times the one, or beyond the other where that is more, is cut before it is tokenised: far
more than any prose needs, and a document of a megabyte costs no more than a long one."""


class UnusableModelError(Exception):
    """The folder holds no model that this engine can serve."""


class Engine(Protocol):
    """Scores pairs of one model."""

    manifest: Manifest

    def score(self, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
        """Return the relevance in 0..1 of each (query, document), in order; shape (len(pairs),)."""
        ...


class OnnxEngine:
    """A BERT cross-encoder in onnxruntime. Safe to call from several threads."""

    def __init__(self, folder: Path, *, threads: int, batch_size: int = 16) -> None:
        """Load the model in `folder` and run it once; UnusableModelError says what is wrong with it."""
        self.manifest = Manifest.read(folder)
        self._batch_size = batch_size
        self._max_characters = max(MIN_CHARACTERS, self.manifest.max_length * CHARACTERS_PER_TOKEN)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.enable_truncation(self.manifest.max_length, strategy="longest_first")
        self._tokenizer.no_padding()
        self._padding = self._tokenizer.token_to_id("[PAD]") or 0
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin while they wait halve the speed where anything else uses the processors.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(folder / MODEL_FILE, options, providers=["CPUExecutionProvider"])
        self._warm_up()

    def score(self, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
        """Return the relevance in 0..1 of each (query, document), in order; shape (len(pairs),)."""
        cut = self._max_characters
        encodings = self._tokenizer.encode_batch_fast([(query[:cut], document[:cut]) for query, document in pairs])
        logits = np.empty(len(encodings), dtype=np.float64)
        for members in self._batches(encodings):
            logits[members] = self._run([encodings[member] for member in members])
        # The sigmoid, written so that nothing overflows; 64 bits keep distinct logits distinct for longer.
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))

    def _batches(self, encodings: Sequence[Encoding]) -> Iterator[npt.NDArray[np.intp]]:
        """Yield positions of pairs of similar length, so that little of a batch is padding."""
        by_length = np.argsort([len(encoding) for encoding in encodings], kind="stable")
        for start in range(0, len(by_length), self._batch_size):
            yield by_length[start : start + self._batch_size]

    def _run(self, encodings: Sequence[Encoding]) -> npt.NDArray[np.float32]:
        shape = len(encodings), max(len(encoding) for encoding in encodings)
        ids = np.full(shape, self._padding, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64)  # left out, the scores would be silently wrong
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding)] = encoding.ids
            mask[row, : len(encoding)] = 1
            types[row, : len(encoding)] = encoding.type_ids
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        (logits,) = self._session.run(["logits"], feed)
        return np.asarray(logits)[:, 0]

    def _warm_up(self) -> None:
        inputs = {value.name for value in self._session.get_inputs()}
        if inputs != {"input_ids", "attention_mask", "token_type_ids"}:
            raise UnusableModelError(
                f"{MODEL_FILE} takes {sorted(inputs)}: export it again with flows.packaging.export"
            )
        lengths = [
            1,
            self.manifest.max_length,
        ]  # shortest and longest: the memory that requests will need is taken now
        if not np.isfinite(self.score([("warm", "up " * length) for length in lengths])).all():
            raise UnusableModelError(
                f"{self.manifest.model} gives scores that are no numbers: train and export it again"
            )
