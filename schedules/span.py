"""Lengths of time: a fraction of the horizon, a number of steps, or a number of epochs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Literal, TypeAlias, get_args

from schedules.errors import ScheduleError

Unit: TypeAlias = Literal["fraction", "steps", "epochs"]

TEXT = re.compile(r"^\s*(?P<number>[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>%|steps?|epochs?)\s*$")
FORMS = "need a fraction in [0, 1] or a text such as '5%', '500 steps' or '5 epochs'"

WHOLE = 1e-9
"""A relative span this close to a whole number of steps (relatively) is that number: 0.07 * 100 is 7 steps."""


@dataclass(frozen=True, slots=True)
class Span:
    """`value` in `unit`; a fraction is of the whole horizon and lies in [0, 1].

    >>> Span.parse("5%") == Span.parse(0.05)
    True
    >>> Span.parse("5 epochs").steps(total_steps=1000, steps_per_epoch=20)
    100.0
    >>> Span.parse("5%").steps(total_steps=90)
    4.5
    """

    value: float
    unit: Unit = "fraction"

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise ScheduleError("unit", f"need one of {', '.join(get_args(Unit))}", repr(self.unit))
        given: object = self.value
        if isinstance(given, bool) or not isinstance(given, Real):
            raise ScheduleError("span", FORMS, repr(given))
        value = float(given)
        if not (math.isfinite(value) and value >= 0):
            raise ScheduleError("span", "need a finite length >= 0", value)
        if self.unit == "fraction" and value > 1:
            raise ScheduleError("span", "a plain number is a fraction of the horizon: need 0 <= fraction <= 1", value)
        object.__setattr__(self, "value", value + 0.0)

    @classmethod
    def parse(cls, value: Span | str | float) -> Span:
        """A span from a number (fraction of the horizon), a text, or a span; `ScheduleError` for anything else."""
        if isinstance(value, Span):
            return value
        if not isinstance(value, str):
            return cls(value)
        match = TEXT.match(value)
        if match is None:
            raise ScheduleError("span", FORMS, repr(value))
        number, unit = Decimal(match["number"]), match["unit"]
        if unit == "%":
            # Decimal, so that "33.3%" is the same number as 0.333.
            return cls(float(number / 100))
        return cls(float(number), "steps" if unit.startswith("step") else "epochs")

    def to_json(self) -> str:
        """The text that `parse` reads back to an equal span: '5%', '500 steps', '5 epochs'."""
        if self.unit == "fraction":
            return f"{_plain(Decimal(repr(self.value)) * 100)}%"
        return f"{_plain(Decimal(repr(self.value)))} {self.unit}"

    def __str__(self) -> str:
        return self.to_json()

    def steps(self, total_steps: float, steps_per_epoch: int | None = None) -> float:
        """The length in steps, not rounded unless rounding noise is all that separates it from a whole number."""
        if self.unit == "steps":
            return self.value
        if self.unit == "epochs":
            if steps_per_epoch is None:
                raise ScheduleError("steps_per_epoch", f"needed for a span of {self}", "nothing")
            total_steps = steps_per_epoch
        exact = self.value * total_steps
        whole = float(round(exact))
        return whole if abs(exact - whole) <= WHOLE * max(1.0, whole) else exact


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


ZERO = Span(0.0)
STEP = Span(1.0, "steps")
