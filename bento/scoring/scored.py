"""What is known of a pair once it is scored."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """The model's verdict on one pair."""

    logit: float
    tokens: int
    """Of query and document as the model read them, special tokens included."""
    truncated: bool
    """Whether anything of the document was cut away."""
    unusual: bool
    """Whether the text is unlike anything that the model was trained on."""
    cached: bool
    """Whether the score was known from an earlier request."""
