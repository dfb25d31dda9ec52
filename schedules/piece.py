"""What the pieces of the grammar tell each other: the frame a piece is planned in, and the curve that comes out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schedules.errors import ScheduleError
from schedules.span import Span
from schedules.tagged import Tagged

Floats: TypeAlias = NDArray[np.float64]
Function: TypeAlias = Callable[[Floats], Floats]
"""A vectorised function of time: in a piece's own steps, or of a profile's u."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where a piece stands. Relative spans are fractions of `total`, the horizon of the schedule the piece belongs to;
    the piece has `steps` updates of its own and reaches its last value at `length` (one less under closed accounting).
    """

    total: float
    steps: float
    length: float
    steps_per_epoch: int | None
    end: float = 0.0
    holds: bool = True

    def resolve(self, argument: str, span: Span) -> float:
        """The span's length in steps of this frame."""
        try:
            return span.steps(self.total, self.steps_per_epoch)
        except ScheduleError as error:
            raise ScheduleError(argument, f"{error.argument} is {error.rule}", error.value) from None

    def within(self, argument: str, span: Span) -> float:
        """The span's length, which must fit into the piece."""
        steps = self.resolve(argument, span)
        if steps > self.steps:
            text = f"{steps:g} of {self.steps:g} steps"
            limit = "total_steps" if self.steps == self.total else "the steps after the warmup"
            raise ScheduleError(argument, f"need 0 <= {argument} <= {limit}", text)
        return steps

    def piece(self, steps: float) -> Frame:
        """The frame of a schedule that has `steps` of this one to itself, as its own horizon."""
        return replace(self, total=steps, steps=steps, length=steps, end=0.0)


@dataclass(frozen=True, slots=True)
class Curve:
    """`ratio(t)` is the rate over the peak rate; `swing(t)` is 1 where the rate peaks and 0 where it bottoms out;
    `falling(t)` says where the last descent has begun, for shapes that have one."""

    ratio: Function
    swing: Function
    falling: Callable[[Floats], NDArray[np.bool_]] | None = None


def levelled(level: Function, end: float) -> Curve:
    """The curve of a level between 1 (the peak) and 0 (`end`, as a ratio of the peak)."""
    if end == 0.0:
        return Curve(level, level)
    return Curve(lambda t: end + (1.0 - end) * level(t), level)


def steady(t: Floats) -> Floats:
    """1 everywhere."""
    return np.ones_like(t)


def progress(t: Floats, length: float) -> Floats:
    """t / length; nothing is done before a piece of no length begins, and all of it after."""
    if length <= 0:
        return np.where(t > 0, 1.0, 0.0)
    return t / length


class Piece(Tagged):
    """A schedule as a part of another: what `Join` and `Product` are made of."""

    __slots__ = ()
    default_kind: ClassVar[str | None] = "schedule"

    @abstractmethod
    def plan(self, frame: Frame) -> Curve:
        """The curve in the frame; its ratio includes the piece's own rate."""

    @property
    def needs_metric(self) -> bool:
        """True for schedules that react to a metric: they can be neither previewed nor resumed by step alone."""
        return False
