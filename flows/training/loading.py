"""The batches of one process."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import BatchSampler, DataLoader

from flows.training.ranks import rank, ranks
from flows.training.rows import Rows


class Share(BatchSampler):
    """Every n-th of the batches, as many for each of n processes; the first ones again where they do not come out.

    Unlike accelerate's own shard it takes batches of any size.
    """

    def __init__(self, batch_sampler: Any) -> None:
        self.batch_sampler = batch_sampler
        self.batch_size = batch_sampler.batch_size
        self.drop_last = batch_sampler.drop_last

    def __len__(self) -> int:
        return -(-len(self.batch_sampler) // ranks())

    def __iter__(self) -> Iterator[list[int]]:
        first: list[list[int]] = []
        position = 0
        for position, batch in enumerate(self.batch_sampler, start=1):
            if len(first) < ranks():
                first.append(batch)
            if (position - 1) % ranks() == rank():
                yield batch
        missing = -position % ranks()
        if ranks() - missing <= rank():
            yield first[(rank() - (ranks() - missing)) % len(first)]

    def set_epoch(self, epoch: int) -> None:
        """Shuffle anew, the same way in every process."""
        self.batch_sampler.set_epoch(epoch)


def make_loader(rows: Rows, batch_sampler: Any, collate: Any) -> DataLoader[Any]:
    """Return this process's share of the batches. Rows are made when their batch is due."""
    return DataLoader(rows, batch_sampler=Share(batch_sampler), collate_fn=collate)  # type: ignore[arg-type]
