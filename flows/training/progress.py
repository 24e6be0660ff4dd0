"""What a training reports while it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a training stands after a step."""

    step: int
    total: int
    """Steps expected in all: what the epochs need, or what still fits into the time limit."""
    share: float
    """Of the whole training, 0 to 1, by steps or by time, whichever ends first."""
    loss: float
    """Mean over the last steps."""
    learning_rate: float
    pairs_per_second: float
    """Query-document pairs trained on, validation included in the time."""
    seconds: float
    """Since training began."""
    eta_seconds: float
    validation: float | None = None
    """NDCG@10 on the validation split, in the report that follows a validation."""

    def metrics(self) -> dict[str, float]:
        """Return the curves' values under their names."""
        values = {
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "pairs_per_second": self.pairs_per_second,
        }
        return values if self.validation is None else {**values, "validation_ndcg@10": self.validation}

    def line(self) -> str:
        """Return one line for people."""
        validation = "" if self.validation is None else f", validation NDCG@10 {self.validation:.3f}"
        return (
            f"step {self.step} of {self.total}, loss {self.loss:.3f}{validation}, "
            f"{self.pairs_per_second:.0f} pairs/s, {self.eta_seconds:.0f} s left"
        )
