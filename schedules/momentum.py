"""Momentum: held at a value, or cycled against the rate."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from schedules.errors import ScheduleError
from schedules.piece import Curve, Function
from schedules.rules import number
from schedules.tagged import Tagged, tagged


class Momentum(Tagged):
    """How a schedule drives momentum (beta1 of Adam)."""

    __slots__ = ()

    @abstractmethod
    def plan(self, curve: Curve) -> Function:
        """The momentum as a function of the step."""


@tagged("fixed")
class Fixed(Momentum):
    """Momentum = `value` at every step."""

    value: float = number(default=0.9, low=0, below=1)

    def plan(self, curve: Curve) -> Function:
        return lambda t: np.full_like(t, self.value)


@tagged("against")
class Against(Momentum):
    """Momentum = high - (high - low) s, with s = 1 where the rate peaks and 0 where it bottoms out (Smith 1803.09820).

    0.95 -> 0.85 -> 0.95 by default, as in torch's OneCycleLR. `final` replaces `high` after the peak of a one-cycle
    (fastai's third momentum).
    """

    low: float = number(default=0.85, low=0, below=1)
    high: float = number(default=0.95, low=0, below=1)
    final: float | None = number(default=None, low=0, below=1)

    def check(self) -> None:
        if self.low > self.high:
            raise ScheduleError("low", "need low <= high", f"{self.low} > {self.high}")

    def plan(self, curve: Curve) -> Function:
        if self.final is None:
            return lambda t: self.high - (self.high - self.low) * curve.swing(t)
        if curve.falling is None:
            raise ScheduleError("final", "needs a shape with one last descent, such as one_cycle", self.final)
        final, falling = self.final, curve.falling
        return lambda t: (high := np.where(falling(t), final, self.high)) - (high - self.low) * curve.swing(t)
