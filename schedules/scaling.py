"""How a good peak rate moves with the batch size."""

from __future__ import annotations

import math

from schedules.rules import Number


def linear(lr: float, *, batch: int, base_batch: int) -> float:
    """lr * batch / base_batch: keeps the step per example for SGD (Goyal et al. 1706.02677, tried up to 8192, with a
    warmup of five epochs from the base rate).

    >>> linear(0.1, batch=1024, base_batch=256)
    0.4
    """
    return _checked(lr) * (_batch("batch", batch) / _batch("base_batch", base_batch))


def square_root(lr: float, *, batch: int, base_batch: int) -> float:
    """lr * sqrt(batch / base_batch): keeps the variance of the step; the rule for Adam (Malladi et al. 2205.10287).

    >>> square_root(0.1, batch=1024, base_batch=256)
    0.2
    """
    return _checked(lr) * math.sqrt(_batch("batch", batch) / _batch("base_batch", base_batch))


def _checked(lr: float) -> float:
    Number(above=0).check("lr", lr)
    return float(lr)


def _batch(argument: str, value: int) -> int:
    Number(low=1, integer=True).check(argument, value)
    return value
