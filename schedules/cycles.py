"""Shapes that go up again: warm restarts and cycles, of any profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from schedules.errors import ScheduleError
from schedules.piece import Curve, Floats, Frame, levelled, steady
from schedules.profiles import Cosine, Linear, Profile
from schedules.rules import number, span
from schedules.sampling import SLACK
from schedules.shapes import Once, Shape
from schedules.span import Span
from schedules.tagged import part, tagged

Scale: TypeAlias = Callable[[Floats, Floats], Floats]
"""Amplitude at a step, given the index of its cycle."""

Place: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]
"""The index of a step's cycle and how far the cycle has come, from 0 to 1."""

MOST_CYCLES = 1_000_000
"""The longest table of growing cycles: a factor next to 1 with a first cycle of nothing would fill the memory."""


@tagged("restarts")
class Restarts(Shape):
    """The profile again and again (SGDR, 1608.03983): cycle i has length first * factor^i and peak decay^i.

    Give `first`, the first cycle's length, or `cycles`, a number of cycles that fills the piece exactly. A cycle runs
    from its peak to just above `end`; the restart is on the step that would have reached it (step 10 for 10 steps).
    """

    profile: Profile = part(Profile, default=Cosine())
    first: Span | None = span(default=None, positive=True)
    cycles: float | None = number(default=None, above=0)
    factor: float = number(default=1.0, low=1)
    decay: float = number(default=1.0, above=0, high=1)

    def check(self) -> None:
        if (self.first is None) == (self.cycles is None):
            raise ScheduleError("first", "need either first or cycles", f"first={self.first}, cycles={self.cycles}")

    def plan(self, frame: Frame) -> Curve:
        first = self.first_length(frame)
        if first <= 0:
            return levelled(steady, frame.end)
        place = _even(first, frame) if self.factor == 1.0 else _growing(first, self.factor, frame)

        def ratio(t: Floats) -> Floats:
            index, u = place(t)
            level = self.profile(np.clip(u, 0.0, 1.0))
            if self.decay == 1.0:
                return frame.end + (1.0 - frame.end) * level
            # A decayed peak never sinks below the end value, or the cycle would run upside down.
            peak = np.maximum(np.power(self.decay, index), frame.end)
            return frame.end + (peak - frame.end) * level

        def swing(t: Floats) -> Floats:
            index, u = place(t)
            return np.power(self.decay, index) * self.profile(np.clip(u, 0.0, 1.0))

        return Curve(ratio, swing)

    def first_length(self, frame: Frame) -> float:
        """Steps in the first cycle."""
        if self.first is not None:
            return frame.resolve("first", self.first)
        cycles = self.cycles or 1.0
        if self.factor == 1.0:
            return frame.length / cycles
        return float(frame.length * (self.factor - 1.0) / (self.factor**cycles - 1.0))


def _even(first: float, frame: Frame) -> Place:
    """Cycles of equal length. Where the horizon holds, none begins at its end: the last one finishes there."""
    last = max(float(np.ceil(frame.length / first - SLACK)) - 1.0, 0.0) if frame.holds else np.inf

    def place(t: Floats) -> tuple[Floats, Floats]:
        index = np.minimum(np.floor(t / first + SLACK), last)
        return index, (t - index * first) / first

    return place


def _growing(first: float, factor: float, frame: Frame) -> Place:
    """Cycles each longer than the last, found in a table of their beginnings and not by a logarithm: rounding makes
    that miss exact restarts, as torch's step(epoch) and timm do at the fifth one for T_mult = 3."""
    held = _table(first, factor, frame.length, closed=True) if frame.holds else None

    def place(t: Floats) -> tuple[Floats, Floats]:
        starts, lengths = held or _table(first, factor, float(t.max(initial=0.0)), closed=False)
        i = np.maximum(np.searchsorted(starts, t + SLACK, side="right") - 1, 0)
        return i.astype(np.float64), (t - starts[i]) / lengths[i]

    return place


def _table(first: float, factor: float, until: float, *, closed: bool) -> tuple[Floats, Floats]:
    """Beginnings and lengths of the cycles up to `until`, by products and sums: exact for whole numbers of steps."""
    count = int(np.log1p(until * (factor - 1.0) / first) / np.log(factor)) + 2
    if count > MOST_CYCLES:
        raise ScheduleError("first", f"need at most {MOST_CYCLES} cycles", count)
    ratios = np.array([first, *[factor] * (count - 1)], dtype=np.float64)
    lengths = np.asarray(np.cumprod(ratios), dtype=np.float64)
    starts = np.concatenate([np.zeros(1), np.cumsum(lengths)[:-1]])
    kept = starts < until - SLACK if closed else starts <= until + SLACK
    kept[0] = True
    return starts[kept], lengths[kept]


@tagged("cycle")
class Cycle(Shape):
    """Up the profile backwards, down it forwards, again and again (Smith 1506.01186); linear is triangular.

    Give `up` (and `down`, else the same length), or `cycles` that fill the piece exactly. The amplitude of cycle i is
    decay^i (0.5: triangular2) times `envelope` at the step, counted from the start of the piece, not of the cycle
    (exponential over one step with ratio gamma: exp_range).
    """

    profile: Profile = part(Profile, default=Linear())
    up: Span | None = span(default=None, positive=True)
    down: Span | None = span(default=None, positive=True)
    cycles: float | None = number(default=None, above=0)
    decay: float = number(default=1.0, above=0, high=1)
    envelope: Once | None = part(Once, default=None)

    def check(self) -> None:
        if (self.up is None) == (self.cycles is None):
            raise ScheduleError("up", "need either up or cycles", f"up={self.up}, cycles={self.cycles}")
        if self.down is not None and self.up is None:
            raise ScheduleError("down", "goes with up, not with cycles", self.down)

    def plan(self, frame: Frame) -> Curve:
        up, down = self.legs(frame)
        if up + down <= 0:
            return levelled(steady, frame.end)
        scale = self._scale(frame)

        def level(t: Floats) -> Floats:
            index = np.floor(t / (up + down) + SLACK)
            within = np.maximum(t - index * (up + down), 0.0)
            rising = within <= up
            u = np.where(rising, 1.0 - within / up, (within - up) / down)
            return self.profile(np.clip(u, 0.0, 1.0)) * scale(t, index)

        return levelled(level, frame.end)

    def legs(self, frame: Frame) -> tuple[float, float]:
        if self.up is None:
            half = frame.length / (2.0 * (self.cycles or 1.0))
            return half, half
        up = frame.resolve("up", self.up)
        return up, up if self.down is None else frame.resolve("down", self.down)

    def _scale(self, frame: Frame) -> Scale:
        outer = steady if self.envelope is None else self.envelope.plan(replace(frame, end=0.0)).ratio
        if self.decay == 1.0:
            return lambda t, index: outer(t)
        return lambda t, index: np.power(self.decay, index) * outer(t)
