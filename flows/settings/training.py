"""How challengers are made."""

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flows.settings.retrieval import MiningSettings
from flows.settings.section import Section

Loss = Literal["listwise", "lambda", "cached-mnrl", "bce"]


class TrainingSettings(Section):
    """How a challenger is trained."""

    base_model: str = Field(
        "carried:minilm",
        description="Hub name, path, or `carried:minilm` for the MiniLM-L6 weights of an installed package; "
        "with a hub at hand, cross-encoder/ms-marco-MiniLM-L-6-v2 is the better start.",
    )
    from_champion: bool = Field(True, description="Start from the champion's weights where there is one.")
    loss: Loss = Field(
        "listwise",
        description="Softmax over a query's own candidates, weighted pairs of them (LambdaLoss), one relevant one "
        "against in-batch negatives (CachedMultipleNegativesRanking), or each pair alone (binary cross-entropy).",
    )
    rivals: tuple[Loss, ...] = Field(
        (),
        description="More losses, each for a challenger of its own with the same start, data and limits; the gate "
        "judges them together.",
    )
    window_days: float | None = Field(
        None, gt=0, description="Learn from the newest days of the training split alone; default: from all of it."
    )
    epochs: float = Field(2.0, gt=0, description="Passes over what is learned from.")
    max_minutes: float = Field(30, gt=0, description="Training stops in order when this has passed.")
    batch_size: int = Field(32, ge=2, description="Query-document pairs a step, about: lists stay whole.")
    list_size: int = Field(
        12, ge=2, description="Documents of a query in one list at most, relevant ones first; listwise and lambda."
    )
    negatives: int = Field(
        3,
        ge=1,
        description="Negatives for each positive; of a list, at least, from other queries where it has fewer.",
    )
    mining: MiningSettings = MiningSettings()
    in_batch_negatives: int = Field(2, ge=1, description="Other queries' documents for each positive; cached-mnrl.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak, after warm-up.")
    warm_up: float = Field(0.1, ge=0, lt=1, description="Share of the training in which the learning rate rises.")
    validations: int = Field(3, ge=1, description="Checkpoints that are validated, at even shares of the training.")
    validation_queries: int = Field(300, ge=1, description="Newest queries of the validation split that choose.")
    max_length: int = Field(128, ge=16, description="Tokens of query and document together.")
    bf16: bool = Field(True, description="Autocast to bfloat16 where the processor has it.")
    seed: int = Field(13, description="Of weights, order and dropout.")
    patience: int | None = Field(
        None,
        ge=1,
        description="So many validations in a row without a better one end the training; default: none do.",
    )
    processes: int = Field(
        1, ge=1, description="Train together on this machine, each with its own batches: one for each GPU."
    )
    checkpoint_minutes: float | None = Field(
        5, gt=0, description="Time between two checkpoints from which a killed training goes on; none without it."
    )
    checkpoint_steps: int | None = Field(None, ge=1, description="Steps between two checkpoints, beside the time.")
    checkpoints: str = Field(
        "local",
        pattern=r"^(local|s3-bucket/[a-z0-9-]+)$",
        description="Where they are kept: `local`, under the home folder, or the S3 bucket of a Prefect block, "
        "`s3-bucket/<name of the block>`.",
    )

    def recipes(self) -> tuple["TrainingSettings", ...]:
        """Return these settings once for each loss, the chosen one first."""
        losses = dict.fromkeys([self.loss, *self.rivals])
        return tuple(self.model_copy(update={"loss": loss, "rivals": ()}) for loss in losses)

    def digest(self) -> str:
        """Return 16 hex digits over what shapes the model; when and where it is kept meanwhile does not."""
        aside = {"checkpoint_minutes", "checkpoint_steps", "checkpoints", "rivals"}
        shaping = self.model_dump(mode="json", exclude=aside)
        return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:16]


class StudentSettings(Section):
    """Shallower and faster copies of the winner, taught by it; what is not named here is as in the training."""

    layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Depths of the students, such as [3], or [4, 3, 2] for a curve; default: none is made."
    )
    loss: Literal["listwise", "margin-mse", "mse"] = Field(
        "listwise",
        description="Cross-entropy with the softmax of the teacher's scores over a list, squared error of score "
        "differences within one, or squared error of scores.",
    )
    hard_share: float = Field(
        0.0, ge=0, le=1, description="Weight of the labels beside the teacher's scores; listwise alone."
    )
    list_size: int = Field(8, ge=2, description="Documents of a query that are learned from together, at most.")
    retrieved_documents: int = Field(
        4, ge=0, description="Unlabelled documents of each query that the retriever finds in the training split."
    )
    random_documents: int = Field(2, ge=0, description="The same, drawn at random.")
    max_pairs: int = Field(200_000, ge=2, description="Of more pairs, so many are taken, by query, seeded.")
    teacher_minutes: float = Field(20, gt=0, description="The teacher's scoring ends in order when this has passed.")
    epochs: float = Field(3.0, gt=0, description="Passes over what the teacher has scored.")
    max_minutes: float = Field(30, gt=0, description="Training of each student stops in order when this has passed.")
    batch_size: int = Field(64, ge=2, description="Query-document pairs a step, about: lists stay whole.")
    learning_rate: float = Field(2e-4, gt=0, description="Peak, after warm-up.")

    @model_validator(mode="after")
    def _labels_need_lists(self) -> Self:
        if self.hard_share and self.loss != "listwise":
            raise ValueError(
                f"labels are mixed in by the listwise loss alone, not by {self.loss}: set hard_share to 0"
            )
        return self
