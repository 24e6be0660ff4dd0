"""sentence-transformers' trainer with what a run here needs: a time limit, progress, and the best checkpoint."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from flows.training.clock import Clock
from flows.training.failures import DivergedError
from flows.training.progress import Progress


class TimedTrainer(CrossEncoderTrainer):
    """Warms up and decays the learning rate over the steps or the time, whichever ends first."""

    def __init__(self, *, clock: Clock, warm_up: float, **arguments: Any) -> None:
        self.clock = clock
        self.losses: deque[float] = deque(maxlen=20)
        self._warm_up = warm_up
        super().__init__(**arguments)
        self.remove_callback(PrinterCallback)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        """Return the schedule: linear to the peak over `warm_up` of the training, then linear to zero."""
        schedule = LambdaLR(optimizer or self.create_optimizer(), self.rate)
        self.lr_scheduler = schedule
        return schedule

    def rate(self, step: int) -> float:
        """Return the learning rate after `step`, as a share of its peak."""
        share = self.clock.share(step)
        rising = (share + 1 / self.clock.steps) / self._warm_up if self._warm_up else 1.0
        return min(rising, (1 - share) / (1 - self._warm_up))

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        """Return the loss of the batch; DivergedError when it is not a number."""
        loss = super().compute_loss(*arguments, **options)
        value = float(loss.detach() if isinstance(loss, Tensor) else loss[0].detach())
        if not math.isfinite(value):
            raise DivergedError(
                f"The loss became {value} at step {self.state.global_step + 1}. Lower the learning rate "
                "(RERANKER_TRAINING__LEARNING_RATE) or turn bfloat16 off (RERANKER_TRAINING__BF16=false)."
            )
        self.losses.append(value)
        return loss


class Watch(TrainerCallback):
    """Validates at even shares of the training, keeps the best weights, reports, and ends it when time is up."""

    def __init__(
        self,
        model: CrossEncoder,
        validate: Callable[[], dict[str, float]],
        validations: int,
        pairs_a_step: float,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.best: dict[str, float] = {}
        self._weights: dict[str, Tensor] = {}
        self._model = model
        self._validate = validate
        self._validations = validations
        self._done = 0
        self.pairs_a_step = pairs_a_step
        self._on_progress = on_progress
        self.trainer: TimedTrainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock."""
        self.trainer.clock.start()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Validate when it is time, report, and stop at the limit."""
        clock = self.trainer.clock
        share = clock.share(state.global_step)
        validation = None
        if share >= (self._done + 1) / self._validations:
            self._done = math.floor(share * self._validations)
            validation = self._keep_if_better()
        if clock.share(state.global_step) >= 1:
            control.should_training_stop = True
        self._on_progress(self._progress(state.global_step, validation))

    def restore_best(self) -> None:
        """Put the best weights back into the model."""
        self._model.load_state_dict(self._weights)

    def _keep_if_better(self) -> float:
        metrics = self._validate()
        self._model.train()
        if not self.best or metrics["ndcg@10"] > self.best["ndcg@10"]:
            self.best = metrics
            self._weights = {name: tensor.detach().clone() for name, tensor in self._model.state_dict().items()}
        return metrics["ndcg@10"]

    def _progress(self, step: int, validation: float | None) -> Progress:
        clock = self.trainer.clock
        share, seconds = clock.share(step), clock.seconds
        return Progress(
            step=step,
            total=clock.total(step),
            share=share,
            loss=sum(self.trainer.losses) / len(self.trainer.losses),
            learning_rate=self.trainer.args.learning_rate * self.trainer.rate(step),
            pairs_per_second=step * self.pairs_a_step / seconds,
            seconds=seconds,
            eta_seconds=seconds / share - seconds,
            validation=validation,
        )
