"""What every drawing needs: schedules sampled for a given number of columns, and axes with round ticks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schedules.errors import ScheduleError
from schedules.feedback import BoundFeedback

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]

UNKNOWN = "follows the metric, not known before training"
"""What is written in the place of a curve that nobody can know yet."""

DECADES_SHOWN = 6
"""A log axis shows at most this many decades below its peak; what lies lower is drawn on the axis."""


class Curve(Protocol):
    """A bound schedule, as far as a drawing is concerned."""

    @property
    def total_steps(self) -> int: ...
    def lr(self, step: Steps, /) -> Floats: ...
    def momentum(self, step: Steps, /) -> Floats | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Rates that were used: `rates[i]` by update `steps[i]`, straight in between, the last one up to `total_steps`."""

    total_steps: int
    steps: Steps
    rates: Floats

    def lr(self, step: Steps, /) -> Floats:
        return np.interp(step, self.steps, self.rates)

    def momentum(self, step: Steps, /) -> None:
        """Not recorded: who answers to a metric drives none."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One quantity of one curve: `values[i]` is in force from update `steps[i]` on, the last up to `total_steps`."""

    name: str
    total_steps: int
    steps: Steps
    values: Floats
    peak: float
    last: float


@dataclass(frozen=True, slots=True)
class Axis:
    """A vertical axis; `clipped` says that something lies below a log axis's floor."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False
    clipped: bool = False

    def place(self, values: Floats) -> Floats:
        """Height in [0, 1]: 0 at `low`, 1 at `high`."""
        if not self.log:
            return (values - self.low) / (self.high - self.low)
        decades = math.log10(self.high) - math.log10(self.low)
        return (np.log10(np.maximum(values, self.low)) - math.log10(self.low)) / decades


def known(bounds: Mapping[str, Curve]) -> tuple[dict[str, Curve], list[str]]:
    """What can be drawn, and the names of what answers to a metric; draw the latter's run as `Recorded`."""
    unknown = [name for name, bound in bounds.items() if isinstance(bound, BoundFeedback)]
    return {name: bound for name, bound in bounds.items() if name not in unknown}, unknown


def sample(bounds: Mapping[str, Curve], columns: int) -> tuple[list[Trace], list[Trace]]:
    """The rate of every curve and the momentum of those that drive it, at `columns` steps of the longest horizon."""
    if not bounds:
        raise ScheduleError("bounds", "need at least one schedule", len(bounds))
    _, unknown = known(bounds)
    if unknown:
        raise ScheduleError(f"bounds[{unknown[0]!r}]", "need rates that are known before training", "those of a metric")
    longest = horizon(bounds)
    rates, momenta = [], []
    for name, bound in bounds.items():
        count = min(bound.total_steps, max(1, math.ceil(columns * bound.total_steps / longest)))
        # Exact in 64 bits up to 10^13 steps; np.linspace would round the last step up to total_steps.
        steps = np.arange(count, dtype=np.int64) * bound.total_steps // count
        ends = np.append(steps, bound.total_steps - 1)
        rates.append(_trace(name, bound.total_steps, ends, bound.lr(ends)))
        momentum = bound.momentum(ends)
        if momentum is not None:
            momenta.append(_trace(name, bound.total_steps, ends, momentum))
    return rates, momenta


def horizon(bounds: Mapping[str, Curve]) -> int:
    """The number of updates a plot of all `bounds` spans."""
    return max(bound.total_steps for bound in bounds.values())


def _trace(name: str, total_steps: int, ends: Steps, values: Floats) -> Trace:
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ScheduleError(f"bounds[{name!r}]", "need finite values to draw", float(values[~np.isfinite(values)][0]))
    return Trace(name, total_steps, ends[:-1], values[:-1], float(values.max()), float(values[-1]))


def rate_axis(traces: list[Trace], *, log: bool, most_ticks: int) -> Axis:
    """From 0 (or a few decades below the peak) up to a round number at or above the highest rate."""
    values = np.concatenate([trace.values for trace in traces])
    if not log:
        return _linear(min(0.0, float(values.min())), float(values.max()), most_ticks)
    positive = values[values > 0]
    if not positive.size:
        raise ScheduleError("log", "need a positive rate for a log axis", float(values.max()))
    high = float(positive.max())
    low = max(float(positive.min()), high * 10.0**-DECADES_SHOWN)
    bottom, top = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    if bottom == top:
        bottom -= 1
    stride = max(1, math.ceil((top - bottom) / max(1, most_ticks - 1)))
    ticks = tuple(10.0**power for power in range(top, bottom - 1, -stride))
    return Axis(10.0**bottom, 10.0**top, ticks, log=True, clipped=bool((values < 10.0**bottom * (1 - 1e-9)).any()))


def momentum_axis(traces: list[Trace]) -> Axis:
    """From the lowest to the highest value taken, not from 0: momentum moves inside a narrow band."""
    values = np.concatenate([trace.values for trace in traces])
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Axis(low - 0.05, high + 0.05, (low,))
    return Axis(low, high, (low, high))


def _linear(low: float, high: float, most_ticks: int) -> Axis:
    if high <= low:
        high = low + 1.0
    spread = high - low
    magnitude = 10.0 ** math.floor(math.log10(spread / max(1, most_ticks - 1)))
    stride = next(
        magnitude * nice for nice in (1, 2, 2.5, 5, 10, 20) if _ticks_at(low, high, magnitude * nice)[2] <= most_ticks
    )
    first, last, _ = _ticks_at(low, high, stride)
    ticks = tuple(round(index * stride, 15) for index in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def _ticks_at(low: float, high: float, stride: float) -> tuple[int, int, int]:
    first, last = math.floor(low / stride + 1e-9), math.ceil(high / stride - 1e-9)
    return first, last, last - first + 1


def step_ticks(total_steps: int, most: int) -> list[tuple[int, str, str]]:
    """Whole steps at even parts of the horizon, as (step, step label, percent label)."""
    parts = next((parts for parts in (4, 2, 1) if parts < most and total_steps % parts == 0), 1)
    if total_steps >= 100 and most > 4:
        parts = 4
    ticks = [(round(total_steps * part / parts), 100 * part // parts) for part in range(parts + 1)]
    return [(step, compact(step), f"{percent}%") for step, percent in ticks]


def compact(count: int) -> str:
    """`1000` as `1000`, `250000` as `250k`, `1500000` as `1.5M`; never rounded to a different number."""
    for unit, suffix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= 10 * unit // (1 if unit == 10**3 else 10) and count * 100 % unit == 0:
            return f"{count / unit:g}{suffix}"
    return str(count)


def number(value: float) -> str:
    """At most three significant digits, in the shortest spelling."""
    return f"{value:.3g}"
