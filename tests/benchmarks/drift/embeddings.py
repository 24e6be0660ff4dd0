"""Each text of the histories is embedded once, and looked up ever after."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.drift.changes import lengthened
from tests.benchmarks.drift.history import History
from tests.benchmarks.drift.watch import embedder

TEXTS, VECTORS = "texts.parquet", "embeddings.npy"
CHUNK = 2048


class Embeddings:
    """A function from texts to vectors that knows its texts beforehand."""

    def __init__(self, texts: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        self._rows = {text: row for row, text in enumerate(texts)}
        self._vectors = vectors

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one vector for each text; KeyError for a text that was not embedded."""
        return self._vectors[[self._rows[text] for text in texts]]

    @classmethod
    def read(cls, folder: Path) -> "Embeddings":
        """Open what `embed` wrote; processes share the vectors."""
        return cls(pq.read_table(folder / TEXTS)["text"].to_pylist(), np.load(folder / VECTORS, mmap_mode="r"))


def embed(histories: Sequence[History], folder: Path) -> None:
    """Embed every text, and what `changes.longer` makes of it; what `folder` knows from before is kept."""
    wanted: dict[str, None] = {}
    for history in histories:
        for name in ("query", "document"):
            for text in history.rows[name].unique().to_pylist():
                wanted[text] = wanted[lengthened(text)] = None
    known = pq.read_table(folder / TEXTS)["text"].to_pylist() if (folder / VECTORS).is_file() else []
    for text in known:
        wanted.pop(text, None)
    texts = sorted(wanted, key=len)
    if not texts:
        return
    encode = embedder()
    parts = [np.load(folder / VECTORS)] if known else []
    start = time.monotonic()
    for first in range(0, len(texts), CHUNK):
        parts.append(encode(texts[first : first + CHUNK]))
        done = min(first + CHUNK, len(texts))
        print(f"embeddings: {done} of {len(texts)}, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    pq.write_table(pa.table({"text": [*known, *texts]}), folder / TEXTS)
    np.save(folder / VECTORS, np.concatenate(parts))
