"""When training has diverged: the rules, the same for every engine, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

EXPLODED = 1e4
"""Training has diverged when the loss exceeds this many times max(1, loss of the first batch): no schedule in use comes
back from there, while a hot phase that will recover stays orders of magnitude below."""


def of_loss(mean: float, first: float, step: int) -> str | None:
    """`mean` is the training loss since the last look, `first` that of the first batch."""
    limit = EXPLODED * max(1.0, first)
    if not isfinite(mean):
        return f"train_loss is {mean} after {step} updates"
    if mean > limit:
        return f"train_loss is {mean:.6g} after {step} updates, above the limit of {limit:.6g}"
    return None


def of_values(values: Mapping[str, float], step: int) -> str | None:
    wrong = (f"{name} is {value} after {step} updates" for name, value in values.items() if not isfinite(value))
    return next(wrong, None)


def of_parameters(norm: float, step: int) -> str | None:
    """`norm` is the norm of the parameters' norms: a loss need not show it where an activation has died."""
    return None if isfinite(norm) else f"the parameters are not finite after {step} updates"


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Those that can be told."""
    return {name: value for name, value in values.items() if isfinite(value)}
