"""Batches of rows with similar length, so that little of a batch is padding."""

from collections.abc import Iterator
from typing import Any

import torch
from sentence_transformers.base.sampler import DefaultBatchSampler

_POOL = 20  # batches whose rows are sorted together: enough to match lengths, few enough to stay random


class LengthGroupedBatchSampler(DefaultBatchSampler):
    """Shuffles the rows, sorts them by length within pools of batches, and shuffles the batches; seeded by epoch.

    The dataset is a `Rows`.
    """

    def __init__(self, dataset: Any, batch_size: int, drop_last: bool, seed: int = 0, **options: Any) -> None:
        super().__init__(dataset, batch_size=batch_size, drop_last=drop_last, seed=seed, **options)
        self._lengths = dataset.lengths().tolist()
        self._seed = seed

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self._seed + self.epoch)
        order = torch.randperm(len(self._lengths), generator=generator).tolist()
        pool = _POOL * self.batch_size
        batches = []
        for start in range(0, len(order), pool):
            rows = sorted(order[start : start + pool], key=self._lengths.__getitem__)
            batches += [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        if self.drop_last:
            batches = [batch for batch in batches if len(batch) == self.batch_size]
        for i in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[i]
