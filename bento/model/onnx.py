"""The network in onnxruntime: single-threaded runs, as many at a time as there are processors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from bento.model.batches import batches, check_inputs
from bento.model.encoded import EncodedPair
from bento.model.engine import UnusableModelError
from bento.model.manifest import Precision

TOKENS, STEP = 128, 8
"""See `batches`."""


class OnnxEngine:
    """Runs an ONNX file.

    Quantised dynamically, the range of 8 bits is that of all values in a batch, so that a pair's score would depend
    on its neighbours and on the padding: int8 runs every pair alone, which costs little.
    """

    def __init__(self, file: Path, threads: int, precision: Precision) -> None:
        """Load it; UnusableModelError when it is no network of pairs."""
        self.streams = threads
        self._tokens, self._step = (1, 1) if precision == "int8" else (TOKENS, STEP)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as failure:  # what onnxruntime raises has no common base
            raise UnusableModelError(f"onnxruntime cannot load {file.name}: {failure}") from failure
        check_inputs({value.name for value in self._session.get_inputs()}, file.name)

    def run(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        """Return the logits of `pairs`; see `Engine`."""
        logits = np.empty(len(pairs), dtype=np.float32)
        for batch in batches(pairs, self._tokens, self._step):
            (output,) = self._session.run(["logits"], batch.inputs)
            logits[batch.positions] = output[:, 0]
        return logits
