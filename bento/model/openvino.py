"""The network in OpenVINO: one stream of one thread for each processor."""

from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino

from bento.model.batches import batches, check_inputs
from bento.model.encoded import EncodedPair
from bento.model.engine import UnusableModelError

TOKENS, STEP = 128, 16
"""See `batches`. Every shape is compiled and kept: without these limits MiniLM took 1.8 GB after 300 batches. Twice
the tokens gain 3 % and cost 15 MB, half the step gains nothing and costs 45 MB."""


class OpenVinoEngine:
    """Runs an OpenVINO network, which is an .xml file with a .bin beside it."""

    def __init__(self, file: Path, threads: int) -> None:
        """Compile it; UnusableModelError when it is no network of pairs."""
        self.streams = threads
        core = openvino.Core()
        try:
            network = core.read_model(file)
        except RuntimeError as failure:
            raise UnusableModelError(f"OpenVINO cannot load {file.name}: {failure}") from failure
        check_inputs({value.any_name for value in network.inputs}, file.name)
        properties = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # Where the processor can, the default is bfloat16: other scores there than elsewhere.
            "INFERENCE_PRECISION_HINT": "f32",
            # Every worker would pin its threads to the same processors.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(network, "CPU", properties)
        del network
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(threads):
            self._idle.put(compiled.create_infer_request())
        # OpenVINO's Python part sets itself up at the first call, and locks up where two threads are the first.
        self.run([EncodedPair([0, 0], [0, 1], truncated=False, unusual=False)])

    def run(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        """Return the logits of `pairs`; see `Engine`."""
        logits = np.empty(len(pairs), dtype=np.float32)
        request = self._idle.get()
        try:
            for batch in batches(pairs, TOKENS, STEP):
                request.infer(batch.inputs, share_inputs=True)
                logits[batch.positions] = request.get_output_tensor(0).data[:, 0]
        finally:
            self._idle.put(request)
        return logits
