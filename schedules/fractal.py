"""The fractal Chebyshev shape: the step sizes of Chebyshev iteration in the order that keeps it stable."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from schedules.errors import ScheduleError
from schedules.piece import Curve, Floats, Frame
from schedules.rules import number, whole
from schedules.shapes import Shape
from schedules.tagged import tagged


@tagged("fractal")
class Fractal(Shape):
    """Rate_t / peak = g_1 / g_sigma(t), g_i = (1 + k)/2 - (1 - k)/2 cos((i - 1/2) pi / n), k = `condition` = m / M
    (Agarwal, Goel, Zhang 2103.01338); sigma_1 = [1], sigma_2n interlaces sigma_n with 2n + 1 - sigma_n. Tiled every n =
    `period` steps.

    With M the largest curvature, a peak of 1 / (M g_1) makes the steps the paper's 1 / gamma: then n of them shrink
    every error on [m, M] by at least 2 r^n / (1 + r^2n), r = (sqrt(M) - sqrt(m)) / (sqrt(M) + sqrt(m)).
    """

    bottoms: ClassVar[bool] = False
    period: int = whole(default=16, low=1, high=2**20)
    condition: float = number(default=0.05, above=0, high=1)

    def check(self) -> None:
        if self.period & (self.period - 1):
            raise ScheduleError("period", "need a power of two", self.period)

    def plan(self, frame: Frame) -> Curve:
        nodes = self.curvatures()
        ratios = nodes[0] / nodes[permutation(self.period) - 1]
        low = ratios.min()
        swings = (ratios - low) / (1.0 - low) if low < 1.0 else np.ones_like(ratios)
        return Curve(lambda t: ratios[self._index(t)], lambda t: swings[self._index(t)])

    def curvatures(self) -> Floats:
        """g_1 < g_2 < ... < g_n: the inverse steps over M, ascending."""
        angles = (np.arange(1, self.period + 1) - 0.5) * math.pi / self.period
        k = self.condition
        return np.asarray((1.0 + k) / 2.0 - (1.0 - k) / 2.0 * np.cos(angles), dtype=np.float64)

    def _index(self, t: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return np.floor(t).astype(np.int64) % self.period


def permutation(n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """sigma_n for n a power of two: [1], [1, 2], [1, 4, 2, 3], [1, 8, 4, 5, 2, 7, 3, 6], ..."""
    order = np.array([1], dtype=np.int64)
    while len(order) < n:
        order = np.stack([order, 2 * len(order) + 1 - order], axis=1).ravel()
    return order
