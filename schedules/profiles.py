"""Profiles: functions from 1 (at u = 0) downwards on [0, 1]. Each is usable in every shape, sampling and warmup."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import numpy as np

from schedules.errors import ScheduleError
from schedules.piece import Floats
from schedules.rules import Number, flag, listed, number
from schedules.tagged import Tagged, part, tagged


class Profile(Tagged):
    """`p(u)` for an array u >= 0. `extends` says that the formula also holds past u = 1, where others are held."""

    __slots__ = ()
    extends: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, u: Floats) -> Floats:
        """The level at u."""


@tagged("constant")
class Constant(Profile):
    """p = 1."""

    extends: ClassVar[bool] = True

    def __call__(self, u: Floats) -> Floats:
        return np.ones_like(u)


@tagged("linear")
class Linear(Profile):
    """p = 1 - u: 1, 0.5 at the middle, 0 at the end (linear decay to zero)."""

    def __call__(self, u: Floats) -> Floats:
        return 1.0 - u


@tagged("cosine")
class Cosine(Profile):
    """p = ((1 + cos(pi u)) / 2)^power: 1, 0.5^power at the middle, 0 (Loshchilov & Hutter 1608.03983; power: optax).

    Past u = 1 it swings back up, as torch's CosineAnnealingLR does.
    """

    extends: ClassVar[bool] = True
    power: float = number(default=1.0, above=0)

    def __call__(self, u: Floats) -> Floats:
        half = 0.5 * (1.0 + np.cos(math.pi * u))
        return half if self.power == 1.0 else half**self.power


@tagged("polynomial")
class Polynomial(Profile):
    """p = (1 - u)^power: power 1 is linear, 0.9 DeepLab's, 2 MXNet's; below 1 the rate stays high and falls late."""

    power: float = number(default=1.0, above=0)

    def __call__(self, u: Floats) -> Floats:
        return np.asarray(np.maximum(1.0 - u, 0.0) ** self.power, dtype=np.float64)


@tagged("exponential")
class Exponential(Profile):
    """p = ratio^u: 1 at the start, `ratio` at u = 1 and never 0; above 1 it grows. `limit` is the level it stops at.

    `anchored` stretches it to reach 0 at u = 1: (ratio^u - ratio) / (1 - ratio), timm's exp cooldown.
    """

    extends: ClassVar[bool] = True
    ratio: float = number(default=0.01, low=0)
    limit: float | None = number(default=None, low=0)
    anchored: bool = flag(default=False)

    def check(self) -> None:
        if self.anchored and not 0 < self.ratio < 1:
            raise ScheduleError("ratio", "need 0 < ratio < 1 to anchor it", self.ratio)
        if self.anchored and self.limit is not None:
            raise ScheduleError("limit", "an anchored exponential stops at 0", self.limit)

    def __call__(self, u: Floats) -> Floats:
        level = np.power(self.ratio, u)
        if self.anchored:
            return np.maximum((level - self.ratio) / (1.0 - self.ratio), 0.0)
        if self.limit is None:
            return level
        return np.minimum(level, self.limit) if self.ratio > 1 else np.maximum(level, self.limit)


@tagged("rex")
class Rex(Profile):
    """p = (1 - u) / (1 - d u): d = 0 linear, 0.5 the paper's REX (2107.04197), 0.9 its companion code's.

    At u = 0.5: 0.5, 2/3 and 0.909: three different schedules under one name, hence the parameter.
    """

    d: float = number(default=0.5, low=0, below=1)

    def __call__(self, u: Floats) -> Floats:
        rest = 1.0 - u
        return rest / ((1.0 - self.d) + self.d * rest)


@tagged("steps")
class Steps(Profile):
    """p = gamma^(number of `at` <= u): 1, then a factor of gamma at each point; a repeated point counts twice."""

    extends: ClassVar[bool] = True
    at: tuple[float, ...] = listed(Number(low=0), least=1)
    gamma: float = number(default=0.1, low=0)

    def __call__(self, u: Floats) -> Floats:
        passed = np.searchsorted(np.sort(np.array(self.at)), u, side="right")
        powers = np.power(self.gamma, np.arange(len(self.at) + 1, dtype=np.float64))
        return powers[passed]


@tagged("one_minus_sqrt")
class OneMinusSqrt(Profile):
    """p = 1 - sqrt(u): 1, 0.293 at the middle, 0: the best cooldown of Haegele et al. (2405.18392)."""

    def __call__(self, u: Floats) -> Floats:
        return 1.0 - np.sqrt(u)


@tagged("square")
class Square(Profile):
    """p = 1 - u^2: 1, 0.75 at the middle, 0."""

    def __call__(self, u: Floats) -> Floats:
        return 1.0 - u * u


@tagged("one_minus_power")
class OneMinusPower(Profile):
    """p = 1 - u^power: 0.5 is one_minus_sqrt, 1 linear, 2 square (timm's power cooldown)."""

    power: float = number(default=0.5, above=0)

    def __call__(self, u: Floats) -> Floats:
        return np.asarray(1.0 - np.power(u, self.power), dtype=np.float64)


@tagged("mirror_cosine")
class MirrorCosine(Profile):
    """p = 2 (1 - u) - (1 + cos(pi u)) / 2: the cosine reflected in the line, steep at both ends (Haegele et al.)."""

    def __call__(self, u: Floats) -> Floats:
        return 2.0 * (1.0 - u) - 0.5 * (1.0 + np.cos(math.pi * u))


@tagged("inverse_sqrt")
class InverseSqrt(Profile):
    """p = (1 + u)^-power: 1, 0.707 at u = 1 (one time scale), never 0 (Vaswani et al., ViT; d2l with u in steps).

    The power is 1/2 unless given (the Power scheduler, 2408.13359, fits it).
    """

    extends: ClassVar[bool] = True
    power: float = number(default=0.5, above=0)

    def __call__(self, u: Floats) -> Floats:
        return 1.0 / np.sqrt(1.0 + u) if self.power == 0.5 else np.power(1.0 + u, -self.power)


@tagged("inverse_time")
class InverseTime(Profile):
    """p = 1 / (1 + rate u): 1, 1 / (1 + rate) at u = 1, never 0 (Keras InverseTimeDecay)."""

    extends: ClassVar[bool] = True
    rate: float = number(default=10.0, above=0)

    def __call__(self, u: Floats) -> Floats:
        return 1.0 / (1.0 + self.rate * u)


@tagged("tanh")
class Tanh(Profile):
    """p = (1 - tanh(lower (1 - u) + upper u)) / 2, and 0 from u = 1 on (1806.01593, timm): 1 - 8e-7 at the start."""

    lower: float = number(default=-7.0, below=0)
    upper: float = number(default=3.0, above=0)

    def __call__(self, u: Floats) -> Floats:
        level = 0.5 * (1.0 - np.tanh(self.lower * (1.0 - u) + self.upper * u))
        return np.where(u < 1.0, level, 0.0)


@tagged("circle")
class Circle(Profile):
    """p = sqrt(1 - u^2)^power: a quarter circle for power 1; 0.866^power at the middle, 0 (init2winit's sqrt)."""

    power: float = number(default=1.0, low=0)

    def __call__(self, u: Floats) -> Floats:
        return np.asarray(np.sqrt(np.maximum(1.0 - u * u, 0.0)) ** self.power, dtype=np.float64)


@tagged("saturating")
class Saturating(Profile):
    """p = 1 - exp(-rate (1 - u)): from 1 - e^-rate to 0. As a warmup ramp it is init2winit's, which jumps by e^-rate to
    the peak; there is no error in the jump, only in being surprised by it."""

    rate: float = number(default=5.0, above=0)

    def __call__(self, u: Floats) -> Floats:
        return 1.0 - np.exp(-self.rate * (1.0 - u))


@tagged("k_decay")
class KDecay(Profile):
    """p(u) = profile(u^k): k > 1 keeps the rate high for longer (2004.05909)."""

    profile: Profile = part(Profile, default=Cosine())
    k: float = number(default=1.0, above=0)

    def __call__(self, u: Floats) -> Floats:
        return self.profile(u if self.k == 1.0 else np.power(u, self.k))

    def check(self) -> None:
        if isinstance(self.profile, KDecay):
            raise ScheduleError("profile", "need a profile that is not k_decay itself (multiply the k)", "k_decay")
