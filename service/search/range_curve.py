"""What an LR range test's curves say: a smoothed curve, a rate to start from, a bracket, and why, or why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

MIN_POINTS = 20
"""Points a curve needs to be read at all."""
DENSE = 20
"""Steps per power of ten below which a ramp outruns training: the whole reading moves to higher rates."""
BANDWIDTH = 0.15
"""Standard deviation of the smoothing kernel in decades of the rate, where the points lie dense enough."""
PLATEAU = 0.05
"""Part of the fall that the loss may lie above the lowest and still be on the plateau."""
GRID_PER_DECADE = 40
SIGNIFICANT = 6.0
"""Standard errors by which the loss has to fall: the smoothed curve of pure noise wanders over 4 to 5 of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeTestResult:
    """`suggestion`, `low` and `high` (a bracket for a search) are None, with the reason, when the curves support none.

    `lr` and `loss` are the smoothed mean curve up to where training diverged. `rules` holds what each rule of thumb
    says: the steepest fall, the middle of the stretch over which the loss falls (valley), minimum/10, and our own.
    """

    reason: str
    suggestion: float | None = None
    low: float | None = None
    high: float | None = None
    lr: Floats = field(default_factory=lambda: np.empty(0))
    loss: Floats = field(default_factory=lambda: np.empty(0))
    rules: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Usable:
    """A seed's curve over log10 rate up to where it diverged (`cut`), with its first level and point noise."""

    x: Floats
    loss: Floats
    cut: float
    start: float
    noise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Smooth:
    """The seeds' mean curve on a grid of log10 rate, its slope per decade, and its standard error."""

    x: Floats
    loss: Floats
    slope: Floats
    error: Floats
    diverged: bool
    per_decade: float


def analyse(curves: Sequence[tuple[Floats, Floats]], *, high: float | None = None) -> RangeTestResult:
    """Read (rates, losses) of each seed; a loss that is not finite, or missing before rate `high`, is divergence.

    `high` is where the ramp was to end, the highest rate of any curve when not given.

    The suggestion lies a third into the plateau, on the log axis: the stretch of rates around the minimum at which the
    loss is within 5 % of its fall from the lowest. The steepest fall moves left as the ramp gets slower, and the
    minimum of a wide plateau is noise. Chosen on digits (MLPs and a CNN, SGD and AdamW, ramps of 160 to 500 steps,
    against the best of 12 constant rates over 5 to 20 epochs): within a factor of 3 in 39 of 40 comparisons, 1.7 in the
    quadratic mean; the steepest fall in 11, minimum/10 in 1. On a CNN kept out of that choice: 8 of 8, 2.65 at worst.
    """
    if not curves:
        return RangeTestResult(reason="no suggestion: nothing has been measured yet")
    usable = [seed for lr, loss in curves if (seed := _usable(np.asarray(lr, float), np.asarray(loss, float)))]
    if len(usable) * 2 <= len(curves):
        return RangeTestResult(reason="no suggestion: no finite losses at the lowest rates")
    if max(len(item.x) for item in usable) < MIN_POINTS:
        most = max(len(item.x) for item in usable)
        return RangeTestResult(reason=f"no suggestion: {most} points are too few to read, need {MIN_POINTS}")
    smooth = _smooth(usable, max(float(lr[-1]) for lr, _ in curves if len(lr)) if high is None else high)
    if smooth is None:
        return RangeTestResult(reason="no suggestion: training diverged almost at the lowest rate; lower `low`")
    refusal = _refusal(smooth)
    if refusal:
        return RangeTestResult(reason=f"no suggestion: {refusal}", lr=10**smooth.x, loss=smooth.loss)
    return _suggest(smooth)


def _suggest(smooth: _Smooth) -> RangeTestResult:
    bottom = int(np.argmin(smooth.loss))
    top = int(np.argmax(smooth.loss[: bottom + 1]))
    fall = smooth.loss[top] - smooth.loss[bottom]
    begin = _fallen(smooth, top, fall, 0.1)
    left, right = _fallen(smooth, top, fall, 1 - PLATEAU), _plateau_end(smooth, bottom, fall)
    plateau = smooth.x[left] + (smooth.x[right] - smooth.x[left]) / 3
    rules = {
        "plateau": plateau,
        "steepest": smooth.x[int(np.argmin(smooth.slope[: bottom + 1]))],
        "valley": (smooth.x[begin] + smooth.x[bottom]) / 2,
        "minimum/10": smooth.x[bottom] - 1,
    }
    reason = (
        f"a third into the plateau, in powers of ten: from {10 ** smooth.x[left]:.2g} to {10 ** smooth.x[right]:.2g} "
        f"the loss is within {PLATEAU:.0%} of its fall from the lowest, at {10 ** smooth.x[bottom]:.2g}"
    )
    if smooth.per_decade < DENSE:
        reason += f"; likely too high, as the ramp was short: {smooth.per_decade:.0f} steps per power of ten"
    return RangeTestResult(
        reason=reason,
        suggestion=float(10**plateau),
        low=float(10 ** smooth.x[begin]),
        high=float(10 ** ((smooth.x[bottom] + smooth.x[-1]) / 2)),
        lr=10**smooth.x,
        loss=smooth.loss,
        rules={name: float(10**x) for name, x in rules.items()},
    )


def _fallen(smooth: _Smooth, top: int, fall: float, share: float) -> int:
    """Where this share of the fall is first reached."""
    return top + int(np.argmax(smooth.loss[top:] <= smooth.loss[top] - share * fall))


def _plateau_end(smooth: _Smooth, bottom: int, fall: float) -> int:
    above = np.flatnonzero(smooth.loss[bottom:] > smooth.loss[bottom] + PLATEAU * fall)
    return bottom + int(above[0]) - 1 if len(above) else len(smooth.x) - 1


def _refusal(smooth: _Smooth) -> str | None:
    """Why the smoothed curve supports no suggestion, None when it does."""
    bottom = int(np.argmin(smooth.loss))
    top = int(np.argmax(smooth.loss[: bottom + 1]))
    fall = float(smooth.loss[top] - smooth.loss[bottom])
    rise = float(smooth.loss[bottom:].max() - smooth.loss[bottom])
    error = float(np.hypot(smooth.error[top], smooth.error[bottom]))
    needed = max(SIGNIFICANT * error, 1e-9 * float(np.abs(smooth.loss).max()))
    if fall <= needed and rise > needed:
        return f"the loss only rises with the rate; start lower than {10 ** smooth.x[0]:.2g}"
    if fall <= needed and smooth.diverged:
        return f"training diverged at {10 ** smooth.x[-1]:.2g} before the loss had fallen"
    if fall <= needed:
        return f"the curve is flat, it falls by {fall:.2g} where noise alone reaches {needed:.2g}"
    if bottom == len(smooth.x) - 1 and not smooth.diverged:
        return f"the loss still falls at the highest rate, {10 ** smooth.x[-1]:.2g}; raise `high`"
    return None


def _usable(lr: Floats, loss: Floats) -> _Usable | None:
    """Cut the curve where it diverges: at a loss that is absent or not finite, or once the running median of five has
    given back half of its fall and six noise deviations more. Additive, so that negative losses work too."""
    if len(lr) != len(loss) or not (np.all(lr > 0) and np.all(np.diff(lr) > 0)):
        raise ValueError(
            f"curves: need as many losses as rates, the rates positive and ascending, got {len(lr)}, {len(loss)}"
        )
    x = np.log10(lr)
    finite = np.isfinite(loss)
    end = len(loss) if finite.all() else int(np.argmin(finite))
    x, loss = x[:end], loss[:end]
    if end < 3:
        return None
    head = max(3, end // 10)
    start = float(np.median(loss[:head]))
    steps = np.diff(loss[: max(3 * head, 8)])
    noise = float(1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2))
    level = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(loss, 2, mode="edge"), 5), axis=1)
    best = np.minimum.accumulate(level)
    diverged = np.flatnonzero(level > best + 0.5 * np.maximum(start - best, 0) + 6 * noise)
    cut = float(x[diverged[0]] if len(diverged) else x[-1])
    return _Usable(x=x, loss=loss, cut=cut, start=start, noise=noise)


def _smooth(seeds: Sequence[_Usable], high: float) -> _Smooth | None:
    """Pool the seeds, each moved to the mean starting level, and smooth up to where half of them have diverged."""
    cut = float(np.median([seed.cut for seed in seeds]))
    start = float(np.mean([seed.start for seed in seeds]))
    noise = float(np.mean([seed.noise for seed in seeds]))
    x = np.concatenate([seed.x[seed.x <= cut] for seed in seeds])
    loss = np.concatenate([(seed.loss - seed.start + start)[seed.x <= cut] for seed in seeds])
    if len(x) < MIN_POINTS:
        return None
    loss = np.minimum(loss, start + 0.5 * (start - loss.min()) + 6 * noise)
    spacing = float(np.median(np.diff(max((seed.x for seed in seeds), key=len))))
    grid = np.linspace(x.min(), cut, 2 + int(GRID_PER_DECADE * (cut - x.min())))
    value, slope, influence = _local_linear(x, loss, grid, max(BANDWIDTH, 2 * spacing))
    diverged = bool(cut < np.log10(high) - 2 * spacing)
    return _Smooth(
        x=grid, loss=value, slope=slope, error=noise * np.sqrt(influence), diverged=diverged, per_decade=1 / spacing
    )


def _local_linear(x: Floats, y: Floats, grid: Floats, bandwidth: float) -> tuple[Floats, Floats, Floats]:
    """Value, slope and variance (of the value, per variance of a point) of a line fitted around each grid point.

    A centred filter: a running average lags behind the ramp and moves every reading to higher rates.
    """
    apart = x[None, :] - grid[:, None]
    weight = np.exp(-0.5 * (apart / bandwidth) ** 2)
    s0, s1, s2 = weight.sum(1), (weight * apart).sum(1), (weight * apart**2).sum(1)
    spread = (s0 * s2 - s1**2)[:, None]
    value = weight * (s2[:, None] - s1[:, None] * apart) / spread
    slope = weight * (s0[:, None] * apart - s1[:, None]) / spread
    return value @ y, slope @ y, (value**2).sum(1)
