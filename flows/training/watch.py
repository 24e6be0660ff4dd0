"""What happens beside the steps: validation, the best weights, reports, checkpoints, and the end."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import CrossEncoder
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from flows.settings import TrainingSettings
from flows.training.progress import Progress
from flows.training.ranks import from_first, rank

if TYPE_CHECKING:
    from flows.training.trainer import TimedTrainer

_FILE = "watch.pt"


@dataclass(frozen=True)
class _Rhythm:
    """How often what happens."""

    validations: int
    patience: int | None
    checkpoint_steps: int | None
    checkpoint_seconds: float | None


class Watch(TrainerCallback):
    """Validates at even shares of the training, keeps the best weights, reports, and ends it when it is time.

    With several processes, the first one validates, keeps and reports; all of them do what it decides.
    """

    def __init__(
        self,
        model: CrossEncoder,
        validate: Callable[[], Mapping[str, float]],
        settings: TrainingSettings,
        pairs_a_step: float,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.best: dict[str, float] = {}
        self.step = 0
        self.finished = False
        self.pairs_a_step = pairs_a_step
        self.trainer: TimedTrainer
        self._weights: dict[str, Tensor] = {}
        self._model = model
        self._validate = validate
        minutes = settings.checkpoint_minutes
        self._rhythm = _Rhythm(
            validations=settings.validations,
            patience=settings.patience,
            checkpoint_steps=settings.checkpoint_steps,
            checkpoint_seconds=None if minutes is None else 60 * minutes,
        )
        self._done = 0
        self._worse = 0  # validations since the best
        self._saved_at = 0.0
        self._on_progress = on_progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Validate when it is time, report, ask for a checkpoint, and stop at the limit."""
        clock, self.step = self.trainer.clock, state.global_step
        share = clock.share(self.step)
        validation = None
        if share >= (self._done + 1) / self._rhythm.validations:
            self._done = math.floor(share * self._rhythm.validations)
            validation = self._keep_if_better()
            clock.tick()
        enough = self._rhythm.patience is not None and self._worse >= self._rhythm.patience
        self.finished = enough or clock.share(self.step) >= 1
        control.should_training_stop = self.finished
        if self.finished or self._checkpoint_due():
            self._saved_at = clock.seconds
            control.should_save = True
        if rank() == 0:
            self._on_progress(self._progress(validation, enough))

    def restore_best(self) -> None:
        """Put the best weights back into the first process's model."""
        if rank() == 0:
            self._model.load_state_dict(self._weights)

    def save(self, folder: Path) -> None:
        """Write to `folder` what this holds beside the trainer's own state; OSError or RuntimeError."""
        content = {
            "best": self.best,
            "weights": self._weights,
            "step": self.step,
            "finished": self.finished,
            "done": self._done,
            "worse": self._worse,
            "losses": list(self.trainer.losses),
            "seconds": self.trainer.clock.seconds,
        }
        torch.save(content, folder / _FILE)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote; the clock counts the time before, too."""
        content = torch.load(folder / _FILE, weights_only=True, map_location=self._model.device)
        self.best, self._weights = content["best"], content["weights"]
        self.step, self.finished = content["step"], content["finished"]
        self._done, self._worse = content["done"], content["worse"]
        self.trainer.losses.extend(content["losses"])
        self.trainer.clock.seconds = self._saved_at = content["seconds"]

    def _keep_if_better(self) -> float:
        """Return the validation's NDCG@10, as the first process finds it."""
        metrics = dict(self._validate()) if rank() == 0 else {}
        self._model.train()
        found = from_first(metrics.get("ndcg@10", 0.0))
        if self.best and found <= self.best["ndcg@10"]:
            self._worse += 1
            return found
        self._worse = 0
        self.best = metrics or {"ndcg@10": found}
        if rank() == 0:
            self._weights = {name: tensor.detach().clone() for name, tensor in self._model.state_dict().items()}
        return found

    def _checkpoint_due(self) -> bool:
        steps, seconds = self._rhythm.checkpoint_steps, self._rhythm.checkpoint_seconds
        by_time = seconds is not None and self.trainer.clock.seconds - self._saved_at >= seconds
        return by_time or (steps is not None and self.step % steps == 0)

    def _progress(self, validation: float | None, enough: bool) -> Progress:
        clock, step = self.trainer.clock, self.step
        share, seconds = (1.0 if enough else clock.share(step)), clock.seconds
        return Progress(
            step=step,
            total=step if enough else clock.total(step),
            share=share,
            loss=sum(self.trainer.losses) / len(self.trainer.losses),
            learning_rate=self.trainer.args.learning_rate * self.trainer.rate(step),
            pairs_per_second=step * self.pairs_a_step / seconds,
            seconds=seconds,
            eta_seconds=seconds / share - seconds,
            validation=validation,
        )
