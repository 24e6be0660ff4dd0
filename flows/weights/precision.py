"""Which device computes, and in which number format it is fastest."""

from contextlib import AbstractContextManager

import torch


def best_device() -> str:
    """Return `cuda` where there is a GPU (of several: the current one), else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def has_bf16() -> bool:
    """Return whether the device multiplies bfloat16 in hardware (a GPU from Ampere on, a processor with AVX512-BF16
    or AMX); elsewhere it is slower.
    """
    if best_device() == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(wanted: bool) -> AbstractContextManager[object]:
    """Compute in bfloat16 where it is wanted and the device has it, else in float32."""
    context: AbstractContextManager[object] = torch.autocast(
        best_device(), torch.bfloat16, enabled=wanted and has_bf16()
    )
    return context
