"""Profiles through chosen points: straight lines or a monotone cubic between them."""

from __future__ import annotations

import numpy as np

from schedules.errors import ScheduleError
from schedules.piece import Floats
from schedules.profiles import Profile
from schedules.rules import Number, choice, listed, number
from schedules.tagged import tagged

COINCIDE = 1e-9
"""Points of time closer than this fraction of the horizon are one point."""


@tagged("two_point")
class TwoPoint(Profile):
    """Through (0, 1), (x1, y1), (x2, y2), (1, 0) with x1 = delta_x1, x2 = x1 + delta_x2 (1 - x1), y2 = delta_y2 y1.

    `linear` and `spline` (PCHIP) are the TPL and TPS families of Naganuma et al. (2603.10301); both are monotone.
    """

    y1: float = number(default=0.6, low=0, high=1)
    delta_x1: float = number(default=0.5, low=0, high=1)
    delta_x2: float = number(default=0.5, low=0, high=1)
    delta_y2: float = number(default=0.3, low=0, high=1)
    curve: str = choice("linear", "spline", default="linear")

    def __call__(self, u: Floats) -> Floats:
        x2 = self.delta_x1 + self.delta_x2 * (1.0 - self.delta_x1)
        return _through([0.0, self.delta_x1, x2, 1.0], [1.0, self.y1, self.delta_y2 * self.y1, 0.0], self.curve, u)


@tagged("points")
class Points(Profile):
    """Through any points (x, y), x rising from 0 to 1: the smooth non-monotonic family, or a curve drawn by hand."""

    x: tuple[float, ...] = listed(Number(low=0, high=1), least=2)
    y: tuple[float, ...] = listed(Number(low=0), least=2)
    curve: str = choice("linear", "spline", default="linear")

    def check(self) -> None:
        if len(self.x) != len(self.y):
            raise ScheduleError("y", f"need one for each of the {len(self.x)} values of x", f"{len(self.y)}")
        if self.x[0] != 0.0 or self.x[-1] != 1.0 or any(b <= a for a, b in zip(self.x, self.x[1:], strict=False)):
            raise ScheduleError("x", "need 0 = x[0] < x[1] < ... < x[-1] = 1", list(self.x))

    def __call__(self, u: Floats) -> Floats:
        return _through(list(self.x), list(self.y), self.curve, u)


def _through(x: list[float], y: list[float], curve: str, u: Floats) -> Floats:
    # Where points coincide the first one counts, as in the families' own source.
    kept = np.unique(np.round(np.array(x) / COINCIDE), return_index=True)[1]
    knots, values = np.array(x)[kept], np.array(y)[kept]
    # Held outside [0, 1], where only the rounding of a caller's u can lie.
    u = np.clip(u, 0.0, 1.0)
    if curve == "linear":
        return np.asarray(np.interp(u, knots, values), dtype=np.float64)
    # PCHIP stays between its points; only rounding leaves that range, and below zero it would be a negative rate.
    return np.clip(_hermite(knots, values, _slopes(knots, values), u), values.min(), values.max())


def _slopes(x: Floats, y: Floats) -> Floats:
    """PCHIP's derivatives (Fritsch & Butland 1984): a weighted harmonic mean of the secants, 0 at a turning point."""
    h, secant = np.diff(x), np.diff(y) / np.diff(x)
    if len(x) == 2:
        return np.repeat(secant, 2)
    slopes = np.zeros_like(y)
    left, right = secant[:-1], secant[1:]
    w_left, w_right = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    same = left * right > 0
    with np.errstate(over="ignore"):  # next to a secant of nothing the mean is nothing
        slopes[1:-1][same] = (w_left + w_right)[same] / (w_left[same] / left[same] + w_right[same] / right[same])
    slopes[0] = _edge(h[0], h[1], secant[0], secant[1])
    slopes[-1] = _edge(h[-1], h[-2], secant[-1], secant[-2])
    return slopes


def _edge(h0: float, h1: float, near: float, far: float) -> float:
    """The one-sided three-point derivative, limited so that the end interval stays monotone."""
    slope = ((2 * h0 + h1) * near - h0 * far) / (h0 + h1)
    if slope * near <= 0:
        return 0.0
    if near * far <= 0 and abs(slope) > 3 * abs(near):
        return 3.0 * near
    return float(slope)


def _hermite(x: Floats, y: Floats, slopes: Floats, u: Floats) -> Floats:
    """The cubic with the given values and derivatives at the knots."""
    i = np.clip(np.searchsorted(x, u, side="right") - 1, 0, len(x) - 2)
    h = np.diff(x)
    secant = np.diff(y) / h
    second = (3 * secant - 2 * slopes[:-1] - slopes[1:]) / h
    third = (slopes[:-1] + slopes[1:] - 2 * secant) / h**2
    s = u - x[i]
    return y[i] + s * (slopes[:-1][i] + s * (second[i] + s * third[i]))
