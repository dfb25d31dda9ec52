"""The domains of a search space, bound to a parameter: from a number in [0, 1) to a value, and the values of a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from contract.base import Scalar
from schedules import Span
from schedules.presets import Parameter
from service.search.strategy import SpaceError


@dataclass(frozen=True, slots=True)
class Options:
    """One of finitely many values; a fixed value is one option."""

    values: tuple[Scalar, ...]

    def at(self, u: float) -> Scalar:
        return self.values[int(u * len(self.values))]

    def ends(self) -> tuple[Scalar, ...]:
        return self.values

    def position(self, value: Scalar) -> int:
        """Where the value stands; 1, 1.0 and true are three values."""
        return next(i for i, option in enumerate(self.values) if type(option) is type(value) and option == value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Numbers in [low, high], uniform or log-uniform; whole numbers only when `integer`."""

    low: float
    high: float
    log: bool
    integer: bool
    points: int | None

    def at(self, u: float) -> Scalar:
        low, high = (self.low - 0.5, self.high + 0.5) if self.integer else (self.low, self.high)
        value = math.exp(_mix(math.log(low), math.log(high), u)) if self.log else _mix(low, high, u)
        if self.integer:
            value = math.floor(value + 0.5)
        value = min(max(value, self.low), self.high)
        return int(value) if self.integer else float(value)

    def ends(self) -> tuple[Scalar, ...]:
        return self._exact(self.low), self._exact(self.high)

    def spaced(self, points: int) -> tuple[Scalar, ...]:
        """`points` values from low to high, both exactly; rounded ones may coincide."""
        spread = np.geomspace if self.log else np.linspace
        inner = [self._exact(float(value)) for value in spread(self.low, self.high, points)[1:-1]]
        return self._exact(self.low), *inner, self._exact(self.high)

    def _exact(self, value: float) -> Scalar:
        return round(value) if self.integer else float(value)


Bounds: TypeAlias = Options | Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """A parameter with its bound domain; `field` is where the study's definition gives it."""

    rule: Parameter
    field: str
    domain: Bounds

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def fixed(self) -> bool:
        return isinstance(self.domain, Options) and len(self.domain.values) == 1

    def telling(self) -> tuple[Scalar, ...]:
        """The values that decide whether the domain fits: the least and the greatest number, or span of each unit."""
        values = self.domain.ends()
        if self.rule.kind not in {"float", "int", "span"}:
            return values
        lengths: dict[str, list[tuple[float, Scalar]]] = {}
        for value in values:
            checked = self.rule.check(value)
            unit, length = (checked.unit, checked.value) if isinstance(checked, Span) else ("", float(value))
            lengths.setdefault(unit, []).append((length, value))
        found = [pick(group)[1] for group in lengths.values() for pick in (min, max)]
        return tuple(dict.fromkeys(found))

    def grid(self) -> tuple[Scalar, ...]:
        """The values a grid visits, in order."""
        if isinstance(self.domain, Options):
            return self.domain.values
        points = self.domain.points
        if points is None:
            raise SpaceError(self.field, "a range in a grid needs `points`", _shown(self.domain))
        values = self.domain.spaced(points)
        if len(set(values)) < len(values):
            rule = f"at most {int(self.domain.high - self.domain.low) + 1} whole numbers fit"
            raise SpaceError(self.field, f"points: the values must differ ({rule})", points)
        return values


def _mix(low: float, high: float, u: float) -> float:
    return low + (high - low) * u


def _shown(interval: Interval) -> dict[str, Scalar]:
    return {"low": interval.low, "high": interval.high, "log": interval.log}
