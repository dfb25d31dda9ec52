"""How many lanes there is memory for on a GPU. Written for CUDA and never run on it; the arithmetic is tested."""

from __future__ import annotations

from collections.abc import Callable

import torch

SHARE = 0.8
"""Of what is free: the rest is for evaluation, for what the allocator cannot piece together, and for others."""

FEW, MORE = 2, 4
"""Lanes that are tried out."""


def room(device: torch.device, train: Callable[[int], object]) -> int | None:
    """For how many lanes there is memory when `train(lanes)` makes an update of so many; None: nobody can say."""
    if device.type != "cuda":
        return None
    try:
        peaks = [_peak(device, train, lanes) for lanes in (FEW, MORE)]
    except torch.OutOfMemoryError:
        return 1
    torch.cuda.empty_cache()
    return fitting(torch.cuda.mem_get_info(device)[0], *peaks)


def fitting(free: int, few: int, more: int) -> int:
    """Of `free` bytes; `few` and `more` are what FEW and MORE lanes took at most. At least 1."""
    each = max(1, (more - few) // (MORE - FEW))
    fixed = max(0, few - FEW * each)
    return max(1, int((SHARE * free - fixed) // each))


def _peak(device: torch.device, train: Callable[[int], object], lanes: int) -> int:
    """The bytes that it takes beyond those that are taken already."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    train(lanes)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
