"""Words of a text, counted in a fixed number of buckets or by name."""

from typing import Any

WORD = r"(?u)\b[^\W\d_]\w{1,40}\b"
"""What is longer is no word, and would make every array of words as wide."""


def hashed_words(texts: list[str], buckets: int) -> Any:
    """Return how often each text uses the words of each bucket: CSR (texts, buckets). No vocabulary is kept."""
    import numpy as np
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        n_features=buckets, token_pattern=WORD, alternate_sign=False, norm=None, dtype=np.float64
    )
    return csr_array(vectorizer.transform(texts)) if texts else csr_array((0, buckets))
