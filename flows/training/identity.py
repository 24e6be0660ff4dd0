"""What a checkpoint must share with the training that goes on from it."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from torch import nn

_LIBRARIES = ("torch", "transformers", "sentence-transformers", "accelerate")


def identity(snapshot: str, configuration: str, model: nn.Module, processes: int) -> dict[str, str]:
    """Return data, settings, weights to start from, code (ours and the libraries') and processes, each as a text."""
    return {
        "snapshot": snapshot,
        "configuration": configuration,
        "start": _weights(model.state_dict()),
        "code": _code(),
        "number of processes": str(processes),
    }


def _weights(tensors: Mapping[str, object]) -> str:
    import torch

    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        if isinstance(tensor, torch.Tensor):
            total.update(name.encode())
            total.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _code() -> str:
    total = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in _LIBRARIES).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()
