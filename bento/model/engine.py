"""What runs a network, whichever library does it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bento.model.encoded import EncodedPair


class UnusableModelError(Exception):
    """The folder holds no model that can be served; the message says what to do."""


class Engine(Protocol):
    """Runs micro-batches of encoded pairs."""

    streams: int
    """Micro-batches that it runs at the same time without one slowing the other; calls beyond that queue up."""

    def run(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        """Return the logits of `pairs`, padded to the longest; shape (len(pairs),).

        Safe to call from as many threads as there are streams; the interpreter's lock is released meanwhile.
        """
        ...
