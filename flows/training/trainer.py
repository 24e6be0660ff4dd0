"""sentence-transformers' trainer with a time limit, checkpoints that may fail, and several processes."""

import logging
import math
import shutil
from collections import deque
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from sentence_transformers.cross_encoder import CrossEncoderTrainer
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from flows.training.batches import LengthGroupedBatchSampler
from flows.training.checkpoints import Checkpoints
from flows.training.clock import Clock
from flows.training.failures import CheckpointsAwayError, DivergedError
from flows.training.loading import make_loader
from flows.training.ranks import everywhere, mean, path_from_first, rank
from flows.training.rows import Rows
from flows.training.watch import Watch

_log = logging.getLogger(__name__)

CANNOT_WRITE = (OSError, RuntimeError, SafetensorError)
"""What Python, torch and safetensors raise when a file cannot be written."""


class TimedTrainer(CrossEncoderTrainer):
    """Warms up and decays the learning rate over the steps or the time, whichever ends first."""

    def __init__(
        self,
        *,
        rows: Rows,
        clock: Clock,
        warm_up: float,
        watch: Watch,
        checkpoints: Checkpoints | None,
        **arguments: Any,
    ) -> None:
        self.clock = clock
        self.losses: deque[float] = deque(maxlen=20)
        self._rows = rows
        self._working = Path(arguments["args"].output_dir)
        self._warm_up = warm_up
        self.watch = watch
        self._checkpoints = checkpoints
        super().__init__(**arguments, callbacks=[_Ticking(clock), watch])
        self.remove_callback(PrinterCallback)
        watch.trainer = self

    def train_on(self) -> None:
        """Train from the beginning or the newest checkpoint to the end, and put the best weights into the model.

        Raises CheckpointsAwayError and DivergedError.
        """
        found = None
        if rank() == 0:
            shutil.rmtree(self._working, ignore_errors=True)  # of a process that was killed
        if rank() == 0 and self._checkpoints is not None:
            try:
                found = self._checkpoints.newest(self._working / "resumed")
            except OSError as error:
                raise CheckpointsAwayError(f"The checkpoints of this training cannot be read: {error}") from error
        found = path_from_first(found)
        if found is not None:
            self.watch.load(found)
        if not self.watch.finished:
            self.train(resume_from_checkpoint=None if found is None else str(found))
        self.watch.restore_best()

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return this process's batches; the rows may be any sequence, and are read when they are due."""
        batches = LengthGroupedBatchSampler(
            self._rows,
            batch_size=self.args.per_device_train_batch_size,
            drop_last=False,
            seed=self.args.seed,
        )
        return make_loader(self._rows, batches, self.data_collator)

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
        """Return the loss of the batch; DivergedError when it is not a number, in this process or another."""
        loss = super().compute_loss(*arguments, **options)
        value = mean(float(loss.detach() if isinstance(loss, Tensor) else loss[0].detach()))
        if not math.isfinite(value):
            raise DivergedError(
                f"The loss became {value} at step {self.state.global_step + 1}. Lower the learning rate "
                "(RERANKER_TRAINING__LEARNING_RATE) or turn bfloat16 off (RERANKER_TRAINING__BF16=false)."
            )
        self.losses.append(value)
        return loss

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write all that is needed to go on from here; a failure is told, and training goes on without it."""
        if self._checkpoints is None:
            return
        step = self.state.global_step
        folder = self._working / f"checkpoint-{step}"
        failure: Exception | None = None
        try:
            super()._save_checkpoint(model, trial)
        except CANNOT_WRITE as error:
            failure = error
        whole = everywhere(failure is None)
        if rank() == 0:
            try:
                if whole:
                    self.watch.save(folder)
                    self._checkpoints.write(step, folder)
            except CANNOT_WRITE as error:
                failure = error
            if failure is not None or not whole:
                _log.warning(
                    "No checkpoint at step %d, training goes on: %s",
                    step,
                    failure or "another process could not write",
                )
            shutil.rmtree(folder, ignore_errors=True)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        self.model.save_pretrained(output_dir or str(self._working), create_model_card=False)


class _Ticking(TrainerCallback):
    """Moves the clock once a step, before the learning rate is set by it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._clock.start()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._clock.tick()
