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

MOST_CYCLES = 10_000_000
"""More cycles than steps anybody trains for; the restart table must fit into memory."""


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
        last = frame.length if frame.holds else None

        def place(t: Floats) -> tuple[Floats, Floats]:
            index, start, length = self._cycle(t, first, last)
            return index, self.profile(np.clip((t - start) / length, 0.0, 1.0))

        def ratio(t: Floats) -> Floats:
            index, level = place(t)
            if self.decay == 1.0:
                return frame.end + (1.0 - frame.end) * level
            # A decayed peak never sinks below the end value, or the cycle would run upside down.
            peak = np.maximum(np.power(self.decay, index), frame.end)
            return frame.end + (peak - frame.end) * level

        def swing(t: Floats) -> Floats:
            index, level = place(t)
            return np.power(self.decay, index) * level

        return Curve(ratio, swing)

    def first_length(self, frame: Frame) -> float:
        if self.first is not None:
            return frame.resolve("first", self.first)
        cycles = self.cycles or 1.0
        if self.factor == 1.0:
            return frame.length / cycles
        return float(frame.length * (self.factor - 1.0) / (self.factor**cycles - 1.0))

    def _cycle(self, t: Floats, first: float, last: float | None) -> tuple[Floats, Floats, Floats]:
        """Index, start and length of the cycle each step is in. From tables, not logarithms: those round the wrong way
        at exact restarts, which is how torch and timm miss the fifth restart with T_mult = 3."""
        until = float(t.max(initial=0.0)) if last is None else last
        starts = self._starts(first, until, closed=last is not None)
        index = np.maximum(np.searchsorted(starts, t + SLACK, side="right") - 1, 0)
        lengths = first * np.power(self.factor, np.arange(len(starts), dtype=np.float64))
        return index.astype(np.float64), starts[index], lengths[index]

    def _starts(self, first: float, until: float, *, closed: bool) -> Floats:
        """Where cycles begin, up to `until`; when `closed`, none begins there: the last cycle ends at its bottom."""
        if until / first > MOST_CYCLES and self.factor == 1.0:
            raise ScheduleError("first", f"need at most {MOST_CYCLES} cycles", f"{until / first:.0f}")
        if self.factor == 1.0:
            starts = first * np.arange(np.floor(until / first + SLACK) + 1.0)
        else:
            table, length = [0.0], first
            while table[-1] + length <= until + SLACK:
                table.append(table[-1] + length)
                length *= self.factor
            starts = np.array(table)
        if closed and len(starts) > 1 and starts[-1] >= until - SLACK:
            return starts[:-1]
        return starts


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
