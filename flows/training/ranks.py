"""The processes that train together: which one this is, and what they must agree on."""

from pathlib import Path

import torch
import torch.distributed as dist


def rank() -> int:
    """Return the number of this process, 0 for the first, which is also the one of a training in one process."""
    return dist.get_rank() if _together() else 0


def ranks() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if _together() else 1


def from_first(value: float) -> float:
    """Return the first process's value in every process."""
    if not _together():
        return value
    shared = _tensor(value)
    dist.broadcast(shared, src=0)
    return float(shared)


def path_from_first(path: Path | None) -> Path | None:
    """Return the first process's path in every process."""
    if not _together():
        return path
    shared = [path]
    dist.broadcast_object_list(shared, src=0)
    return shared[0]


def mean(value: float) -> float:
    """Return the mean of the processes' values; not a number where one of them is none."""
    if not _together():
        return value
    shared = _tensor(value)
    dist.all_reduce(shared)
    return float(shared) / dist.get_world_size()


def everywhere(good: bool) -> bool:
    """Return whether all processes say that it is good."""
    return mean(float(good)) == 1.0


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def _tensor(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
