"""The part `throughput`: the same pairs through the plain trainer and through ours, in turns."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.contracts.snapshot import Snapshot, SplitCounts
from flows.settings import TrainingSettings
from flows.training import train

START = "carried:minilm"
TIMES = 1.3
BATCH_PAIRS, BATCH_LISTS, MAX_LENGTH, SEED = 32, 4, 160, 13


def measure(snapshot: Snapshot, work: Path, queries: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield one line for each loss: pairs a second of both trainers, medians over the rounds, and their ratio."""
    small = _some(snapshot, work, queries)
    for loss, batch in (("bce", BATCH_PAIRS), ("listwise", BATCH_LISTS)):
        sides: dict[str, Callable[[], float]] = {
            "plain": lambda loss=loss, batch=batch: _plain(small, loss, batch, bf16=False),  # type: ignore[misc]
            "plain-bf16": lambda loss=loss, batch=batch: _plain(small, loss, batch, bf16=True),  # type: ignore[misc]
            "ours": lambda loss=loss, batch=batch: _ours(small, loss, batch),  # type: ignore[misc]
        }
        took: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(rounds):
            for name in sides if number % 2 else list(reversed(sides)):
                took[name].append(sides[name]())
                print(f"throughput: {loss}, {name}, {took[name][-1]:.1f} s", file=sys.stderr, flush=True)
        pairs = small.manifest.splits["train"].pairs
        for name in ("plain", "plain-bf16"):
            ratios = [plain / ours for plain, ours in zip(took[name], took["ours"], strict=True)]
            yield {
                "loss": loss,
                "beside": name,
                "pairs": pairs,
                "rounds": rounds,
                "its_pairs_per_second": pairs / statistics.median(took[name]),
                "pairs_per_second": pairs / statistics.median(took["ours"]),
                "ratio": statistics.median(ratios),
                "ratio_from": min(ratios),
                "ratio_to": max(ratios),
            }


def _some(snapshot: Snapshot, work: Path, queries: int) -> Snapshot:
    """Keep `queries` of the training split, drawn at random, and one of the validation split."""
    table, validation = snapshot.table("train"), snapshot.table("validation")
    names = np.random.default_rng(SEED).permutation(sorted(table["query_id"].unique().to_pylist()))[:queries]
    train_side = table.filter(pc.is_in(table["query_id"], pa.array(names)))
    one = validation.filter(pc.equal(validation["relevance"], 1))["query_id"][0]
    kept = pa.concat_tables([train_side, validation.filter(pc.equal(validation["query_id"], one))])
    counts = SplitCounts(
        queries=queries, pairs=train_side.num_rows, positives=pc.sum(train_side["relevance"]).as_py()
    )
    splits = {**snapshot.manifest.splits, "train": counts}
    pq.write_table(kept, work / "pairs.parquet")
    manifest = snapshot.manifest.model_copy(update={"splits": splits})
    (work / "manifest.json").write_text(manifest.model_dump_json(), "utf-8")
    return Snapshot(work)


def _ours(snapshot: Snapshot, loss: str, batch: int) -> float:
    counts = snapshot.manifest.splits["train"]
    pairs = batch if loss == "bce" else round(batch * counts.pairs / counts.queries)
    settings = TrainingSettings.model_validate(
        {
            "loss": loss,
            "batch_size": pairs,
            "max_length": MAX_LENGTH,
            "epochs": 1,
            "validations": 1,
            "list_size": 1000,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        return train(snapshot, settings, START, Path(folder) / "model").seconds


def _plain(snapshot: Snapshot, loss: str, batch: int, *, bf16: bool) -> float:
    """Train as sentence-transformers' page shows it: batches drawn at random, and float32 unless told otherwise."""
    import torch
    from datasets import Dataset
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss, ListNetLoss

    from flows.training.model import open_model
    from flows.weights.precision import best_device

    frame = snapshot.table("train").to_pandas()
    model = open_model(START, MAX_LENGTH)
    if loss == "bce":
        rows = (
            frame[["query", "document", "relevance"]].rename(columns={"relevance": "label"}).astype({"label": float})
        )
        positives = frame["relevance"].sum()
        plain_loss = BinaryCrossEntropyLoss(model, pos_weight=torch.tensor((len(frame) - positives) / positives))
    else:
        rows = frame.groupby("query_id").agg(
            query=("query", "first"), documents=("document", list), labels=("relevance", list)
        )
        plain_loss = ListNetLoss(model, mini_batch_size=-1)
    with tempfile.TemporaryDirectory() as folder:
        trainer = CrossEncoderTrainer(
            model=model,
            args=CrossEncoderTrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=batch,
                learning_rate=5e-5,
                bf16=bf16,
                use_cpu=best_device() == "cpu",
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_pandas(rows, preserve_index=False),
            loss=plain_loss,
        )
        begun = time.perf_counter()
        trainer.train()
        return time.perf_counter() - begun
