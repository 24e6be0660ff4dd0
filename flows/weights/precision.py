"""Which number format the processor computes fastest in."""

from contextlib import AbstractContextManager

import torch


def has_bf16() -> bool:
    """Return whether this processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX); elsewhere it is slower."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(wanted: bool) -> AbstractContextManager[object]:
    """Compute in bfloat16 where it is wanted and the processor has it, else in float32."""
    context: AbstractContextManager[object] = torch.autocast("cpu", torch.bfloat16, enabled=wanted and has_bf16())
    return context
