"""Samplings: how often a profile is looked at. Between two looks the rate is held (zero-order hold)."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from schedules.piece import Frame, Function
from schedules.rules import Number, listed, span
from schedules.span import Span
from schedules.tagged import Tagged, tagged

SLACK = 1e-9
"""So much of a step may be lost to rounding before a sample point counts as not yet reached."""


class Sampling(Tagged):
    """Maps a step to the step whose value is held there."""

    __slots__ = ()

    @abstractmethod
    def plan(self, frame: Frame) -> Function:
        """The vectorised map, in the piece's own steps."""


@tagged("every")
class Every(Sampling):
    """Sample at multiples of `span`: '10%' is the REX paper's 10-10 %, '1 epochs' is per epoch.

    With '100 steps': steps 0..99 hold the value of step 0, 100..199 that of step 100.
    """

    span: Span = span(positive=True)

    def plan(self, frame: Frame) -> Function:
        period = frame.resolve("span", self.span)
        return lambda t: np.floor(t / period + SLACK) * period


@tagged("at")
class At(Sampling):
    """Sample at the start and at fractions of the piece, rounded to whole steps: (0.5, 0.75) is the paper's 50-75."""

    points: tuple[float, ...] = listed(Number(above=0, below=1), least=1)

    def plan(self, frame: Frame) -> Function:
        chosen = np.array(sorted({0.0, *(float(np.floor(p * frame.steps + 0.5)) for p in self.points)}))
        return lambda t: chosen[np.maximum(np.searchsorted(chosen, t, side="right") - 1, 0)]
