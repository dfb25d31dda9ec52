"""The one-cycle shape in the accountings of the libraries that have it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schedules.errors import ScheduleError
from schedules.piece import Curve, Floats, Frame
from schedules.profiles import Cosine, Linear, Profile
from schedules.rules import choice, number
from schedules.shapes import Shape
from schedules.tagged import part, tagged


@tagged("one_cycle")
class OneCycle(Shape):
    """Rise from `start` to the peak, fall to `end`; with `turn`, fall to `start` and anneal to `end` after that.

    `rise` and `turn` are fractions of the horizon's T updates; `start` and `end` are ratios of the peak; between two
    points the rate is b + (a - b) p(u). The accountings place the points at
    `torch`: rise T - 1, turn T - 2, T - 1 (torch OneCycleLR; its three_phase is turn = 2 rise);
    `fraction`: rise L, turn L, L with L the frame's length (fastai; the paper, with turn 0.9);
    `floor`: floor(rise T), floor(turn T), T (optax);
    `ulmfit`: c = floor(rise T), c / rise (slanted triangular).
    Points that would lie before step 0 lie at step 0: a horizon of one step runs at the peak. A turn past the horizon
    is never reached, and nothing annihilated (torch's three_phase with pct_start over 0.5).
    """

    rise: float = number(default=0.3, low=0, high=1)
    turn: float | None = number(default=None, above=0, high=2)
    start: float = number(default=0.04, low=0, high=1)
    profile: Profile = part(Profile, default=Cosine())
    accounting: str = choice("torch", "fraction", "floor", "ulmfit", default="torch")

    def check(self) -> None:
        if self.turn is not None and self.turn < self.rise:
            raise ScheduleError("turn", "need rise <= turn", f"{self.turn} < {self.rise}")
        if self.accounting == "ulmfit" and self.turn is not None:
            raise ScheduleError("turn", "the ulmfit accounting has none", self.turn)
        if self.accounting == "ulmfit" and self.rise == 0:
            raise ScheduleError("rise", "need 0 < rise under the ulmfit accounting", self.rise)

    def plan(self, frame: Frame) -> Curve:
        times = np.array([0.0, *self.points(frame)])
        falls = [frame.end] if self.turn is None else [self.start, frame.end]
        rates = np.array([self.start, 1.0, *falls])
        swings = np.array([0.0, 1.0, *(0.0 for _ in falls)])

        def falling(t: Floats) -> NDArray[np.bool_]:
            return np.asarray(t >= times[1], dtype=np.bool_)

        return Curve(
            lambda t: self._between(times, rates, t), lambda t: self._between(times, swings, t), falling=falling
        )

    def points(self, frame: Frame) -> list[float]:
        """The times of the peak, of the turn if there is one, and of the end."""
        total, fractions = frame.steps, [self.rise] if self.turn is None else [self.rise, self.turn]
        if self.accounting == "ulmfit":
            cut = float(np.floor(self.rise * total))
            return [cut, cut / self.rise if cut else total]
        if self.accounting == "torch":
            points, last = [fraction * total - (i + 1) for i, fraction in enumerate(fractions)], total - 1.0
        elif self.accounting == "floor":
            points, last = [float(np.floor(fraction * total)) for fraction in fractions], total
        else:
            points, last = [fraction * frame.length for fraction in fractions], frame.length
        return [float(time) for time in np.maximum.accumulate([0.0, *points, last])[1:]]

    def _between(self, times: Floats, values: Floats, t: Floats) -> Floats:
        # A point belongs to the phase it ends, and a phase of no length is over at once; the last one holds its value.
        phase = np.clip(np.searchsorted(times[1:-1], t, side="left"), 0, len(times) - 2)
        begin, length = times[phase], np.diff(times)[phase]
        u = np.where(length > 0, (t - begin) / np.where(length > 0, length, 1.0), 1.0)
        a, b = values[phase], values[phase + 1]
        level = self.profile(np.clip(u, 0.0, 1.0))
        # Torch's own order of operations, straight and curved: they differ by rounding, 1e-12 of a last rate of 4e-6.
        return a + (b - a) * (1.0 - level) if isinstance(self.profile, Linear) else b + (a - b) * level
