"""Memory: what is kept between steps and from the collector, and what an error says that means there is none left."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""`M_TRIM_THRESHOLD` and `M_MMAP_MAX` of glibc's mallopt(3)."""

KEEP = 2**30


def keep_freed() -> bool:
    """Keep up to 1 GiB of freed memory instead of handing it back at every step; whether this C library can.

    Every step allocates what the last one freed, and pages that come back from the system come zeroed, one fault each.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(MMAP_MAX, 0) == 1 and mallopt(TRIM_THRESHOLD, KEEP) == 1


def keep_made() -> None:
    """Never look through what is there by now again: the objects of the libraries took a full collection 0.3 s."""
    gc.collect()
    gc.freeze()


SHORTAGES = ("DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory")
"""What a plain RuntimeError says where the device has no error of its own for it."""


def is_short(error: BaseException) -> bool:
    """Whether it says that memory has run out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SHORTAGES)


def release(device: torch.device) -> None:
    """Hand back what the allocator keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
