"""Shapes that go down once: over the whole horizon, over a given time, or at its end only."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from schedules.errors import ScheduleError
from schedules.piece import Curve, Floats, Frame, Function, levelled, progress
from schedules.profiles import Constant, Linear, Profile
from schedules.rules import choice, flag, span
from schedules.span import ZERO, Span
from schedules.tagged import Tagged, part, tagged


class Shape(Tagged):
    """Places profiles in time. `bottoms` says that the shape's lowest level is the schedule's `end`."""

    __slots__ = ()
    bottoms: ClassVar[bool] = True

    @abstractmethod
    def plan(self, frame: Frame) -> Curve:
        """The curve in the piece's own steps; its ratio goes from 1 to `frame.end` where the level goes from 1 to 0."""


@tagged("once")
class Once(Shape):
    """The profile once, u = t / length: over everything, over `over` (u then may pass 1 inside the horizon), or over
    everything but the last `tail`. `rising` runs it backwards, from its last value up to the peak.

    Past u = 1: `hold` p(1); `continue` the formula (ratio^u keeps falling); `mirror` back up and down again (torch's
    CosineAnnealingLR past T_max); `repeat` from the start.
    """

    profile: Profile = part(Profile, default=Constant())
    over: Span | None = span(default=None, positive=True)
    tail: Span = span(default=ZERO)
    beyond: str = choice("hold", "continue", "mirror", "repeat", default="hold")
    rising: bool = flag(default=False)

    def check(self) -> None:
        if self.over is not None and self.tail != ZERO:
            raise ScheduleError("tail", "need over or tail, not both", self.tail)
        if self.beyond == "continue" and not self.profile.extends:
            raise ScheduleError("beyond", f"{self.profile.kind} ends at u = 1: need hold, mirror or repeat", "continue")
        if self.beyond == "continue" and self.rising:
            raise ScheduleError("beyond", "a rising profile ends at its peak: need hold, mirror or repeat", "continue")

    def plan(self, frame: Frame) -> Curve:
        if self.over is None:
            length = frame.length - frame.within("tail", self.tail)
        else:
            length = frame.resolve("over", self.over)
        fold = FOLDS[self.beyond]

        def level(t: Floats) -> Floats:
            u = fold(progress(t, length))
            return self.profile(1.0 - u if self.rising else u)

        return levelled(level, frame.end)


def _mirror(u: Floats) -> Floats:
    v = np.mod(u, 2.0)
    return np.where(v > 1.0, 2.0 - v, v)


FOLDS: dict[str, Function] = {
    "hold": lambda u: np.minimum(u, 1.0),
    "continue": lambda u: u,
    "mirror": _mirror,
    "repeat": lambda u: np.mod(u, 1.0),
}
"""What each value of `Once.beyond` does to u."""


@tagged("stable_decay")
class StableDecay(Shape):
    """Stay at the peak, then `cooldown` over the last `decay` (warmup-stable-decay, trapezoid, flat-cosine).

    Level 1 up to and including step L - D, p((t - (L - D)) / D) after it, 0 at L (the first step not taken, under open
    accounting). With a `stable` profile of its own, on the time scale `scale` (default: the whole piece), the rate is
    end + (max(stable, end) - end) p: inverse_sqrt gives the ViT schedule (2106.04560).
    """

    decay: Span = span(default=Span(0.2), positive=True)
    cooldown: Profile = part(Profile, default=Linear())
    stable: Profile = part(Profile, default=Constant())
    scale: Span | None = span(default=None, positive=True)

    def check(self) -> None:
        if self.scale is not None and not self.stable.extends:
            raise ScheduleError(
                "scale", f"{self.stable.kind} ends at u = 1: need a stable profile that goes on", self.scale
            )

    def plan(self, frame: Frame) -> Curve:
        decay = frame.within("decay", self.decay)
        begin = frame.length - decay

        def cooling(t: Floats) -> Floats:
            return self.cooldown(np.clip((t - begin) / decay, 0.0, 1.0))

        if isinstance(self.stable, Constant):
            return levelled(cooling, frame.end)
        scale = frame.length if self.scale is None else frame.resolve("scale", self.scale)

        def ratio(t: Floats) -> Floats:
            stable = self.stable(progress(t, scale))
            return frame.end + (np.maximum(stable, frame.end) - frame.end) * cooling(t)

        return Curve(ratio, lambda t: self.stable(progress(t, scale)) * cooling(t))
