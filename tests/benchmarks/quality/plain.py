"""What a careful engineer would write without this project: sentence-transformers' trainer as its page shows it."""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc

from flows.contracts.snapshot import Snapshot

EPOCHS, BATCH, LEARNING_RATE, MAX_LENGTH = 2, 32, 5e-5, 160
"""The plain run of which figures were published beside the data: .801 on WikiQA, .909 on SemEval."""


class Trained(NamedTuple):
    """A model on disk and what it cost."""

    folder: Path
    seconds: float
    pairs: int

    @property
    def pairs_per_second(self) -> float:
        """Query-document pairs trained on."""
        return self.pairs / self.seconds


def train_plain(snapshot: Snapshot, start: str, seed: int, output: Path, *, max_steps: int = -1) -> Trained:
    """Train on every pair of the training split with binary cross-entropy, weighted by class.

    In bfloat16 where the processor has it, which halves the time that the recipe is given.
    """
    import torch
    from datasets import Dataset
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from transformers import set_seed

    from flows.training.model import open_model, save_model
    from flows.weights.precision import best_device, has_bf16

    table = snapshot.table("train")
    positives = pc.sum(table["relevance"]).as_py()
    rows = Dataset.from_dict(
        {
            "query": table["query"].to_pylist(),
            "document": table["document"].to_pylist(),
            "label": table["relevance"].cast("float32").to_pylist(),
        }
    )
    set_seed(seed)
    model = open_model(start, MAX_LENGTH)
    with tempfile.TemporaryDirectory() as unused:
        trainer = CrossEncoderTrainer(
            model=model,
            args=CrossEncoderTrainingArguments(
                output_dir=unused,
                num_train_epochs=EPOCHS,
                max_steps=max_steps,
                per_device_train_batch_size=BATCH,
                learning_rate=LEARNING_RATE,
                warmup_steps=0.1,
                bf16=has_bf16(),
                use_cpu=best_device() == "cpu",
                seed=seed,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows,
            loss=BinaryCrossEntropyLoss(model, pos_weight=torch.tensor((len(rows) - positives) / positives)),
        )
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
    save_model(model, output)
    pairs = len(rows) * EPOCHS if max_steps < 0 else min(max_steps * BATCH, len(rows) * EPOCHS)
    return Trained(output, seconds, pairs)
