"""Somebody else's load on the machine: how long a small matrix product takes at the moment."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

SQUARE = torch.randn(256, 256)


def canary(products: int = 20, *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds by `clock` for so many products."""
    start = clock()
    for _ in range(products):
        torch.mm(SQUARE, SQUARE)
    return clock() - start
