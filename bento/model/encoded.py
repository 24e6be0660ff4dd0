"""Pairs as the network reads them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """The tokens of one query and document, special tokens included, cut to what the model reads."""

    ids: list[int]
    type_ids: list[int]
    """0 for the query's side, 1 for the document's; left out, scores would be silently wrong."""
    truncated: bool
    """Whether anything of the document was cut away."""
    unusual: bool
    """Whether the text is unlike anything that the model was trained on."""

    def __len__(self) -> int:
        return len(self.ids)
