"""What a field may hold: each rule checks a value given in Python and reads one from JSON, naming the argument."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field
from numbers import Integral, Real
from typing import Any, Protocol

from schedules.errors import ScheduleError
from schedules.span import FORMS, Span


class Rule(Protocol):
    """`check` returns the value in its canonical type or raises; `decode` does the same for what JSON holds."""

    def check(self, argument: str, value: object) -> object: ...
    def decode(self, path: str, data: object) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A finite number within bounds; `above` and `below` leave their bound out."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    integer: bool = False
    optional: bool = False

    def check(self, argument: str, value: object) -> float | int | None:
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ScheduleError(argument, f"need {self.text(argument)}", repr(value))
        number = float(value)
        outside = (
            not math.isfinite(number)
            or (self.integer and not isinstance(value, Integral))
            or (self.low is not None and number < self.low)
            or (self.high is not None and number > self.high)
            or (self.above is not None and number <= self.above)
            or (self.below is not None and number >= self.below)
        )
        if outside:
            raise ScheduleError(argument, f"need {self.text(argument)}", value)
        return int(value) if isinstance(value, Integral) and self.integer else number + 0.0

    def decode(self, path: str, data: object) -> float | int | None:
        return self.check(path, data)

    def text(self, argument: str) -> str:
        """The rule as an inequality in the argument's own name: `0 <= d < 1`."""
        name = argument.rsplit(".", 1)[-1]
        left = f"{self.low:g} <= " if self.low is not None else f"{self.above:g} < " if self.above is not None else ""
        right = (
            f" <= {self.high:g}" if self.high is not None else f" < {self.below:g}" if self.below is not None else ""
        )
        if not left and right:
            return f"a {'whole' if self.integer else 'finite'} number {name}{right}"
        kind = "a whole number" if self.integer else "a number" if not left else ""
        return (
            f"{kind} {left}{name}{right}".strip() if left or right else f"{kind.replace('a number', 'a finite number')}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """true or false."""

    def check(self, argument: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise ScheduleError(argument, "need true or false", repr(value))
        return value

    def decode(self, path: str, data: object) -> bool:
        return self.check(path, data)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of the listed texts."""

    options: tuple[str, ...]

    def check(self, argument: str, value: object) -> str:
        if not isinstance(value, str) or value not in self.options:
            raise ScheduleError(argument, f"need one of {', '.join(self.options)}", repr(value))
        return value

    def decode(self, path: str, data: object) -> str:
        return self.check(path, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """A span; `positive` refuses a length of nothing."""

    positive: bool = False
    optional: bool = False

    def check(self, argument: str, value: object) -> Span | None:
        if value is None and self.optional:
            return None
        if not isinstance(value, Span):
            raise ScheduleError(argument, "need a Span (Span.parse reads '5%', '500 steps', '5 epochs')", repr(value))
        if self.positive and value.value == 0:
            raise ScheduleError(argument, "need a span longer than nothing", value)
        return value

    def decode(self, path: str, data: object) -> Span | None:
        return self.check(path, data if data is None else parse_span(path, data))


@dataclass(frozen=True, slots=True)
class Many:
    """A list whose items follow `item`."""

    item: Rule
    least: int = 0

    def check(self, argument: str, value: object) -> tuple[object, ...]:
        if not isinstance(value, (tuple, list)):
            raise ScheduleError(argument, "need a list", repr(value))
        return self._enough(argument, tuple(self.item.check(f"{argument}[{i}]", item) for i, item in enumerate(value)))

    def decode(self, path: str, data: object) -> tuple[object, ...]:
        if not isinstance(data, (tuple, list)):
            raise ScheduleError(path, "need a list", repr(data))
        return self._enough(path, tuple(self.item.decode(f"{path}[{i}]", item) for i, item in enumerate(data)))

    def _enough(self, argument: str, items: tuple[object, ...]) -> tuple[object, ...]:
        if len(items) < self.least:
            raise ScheduleError(argument, f"need at least {self.least}", f"{len(items)}")
        return items


def parse_span(argument: str, value: object) -> Span:
    """`Span.parse` for a value of any type, its errors under the argument's name."""
    if not isinstance(value, (Span, str, int, float)) or value is True or value is False:
        raise ScheduleError(argument, FORMS, repr(value))
    try:
        return Span.parse(value)
    except ScheduleError as error:
        raise ScheduleError(argument, error.rule, error.value) from None


# The field specifiers return Any because a dataclass field's declared type is its value's, as with dataclasses.field.
def ruled(rule: Rule, default: object = MISSING) -> Any:
    """A dataclass field that follows `rule`."""
    if default is MISSING:
        return field(metadata={"rule": rule})
    return field(default=default, metadata={"rule": rule})


def number(
    *,
    default: float | object | None = MISSING,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A float field; optional when its default is None."""
    rule = Number(low=low, high=high, above=above, below=below, optional=default is None)
    return ruled(rule, default)


def whole(*, default: int | object | None = MISSING, low: int, high: int | None = None) -> Any:
    """An int field; optional when its default is None."""
    return ruled(Number(low=low, high=high, integer=True, optional=default is None), default)


def flag(*, default: bool) -> Any:
    """A bool field."""
    return ruled(Flag(), default)


def choice(*options: str, default: str) -> Any:
    """A field holding one of `options`."""
    return ruled(OneOf(options), default)


def span(*, default: Span | object | None = MISSING, positive: bool = False) -> Any:
    """A `Span` field; optional when its default is None."""
    return ruled(Length(positive=positive, optional=default is None), default)


def listed(rule: Rule, *, least: int = 0) -> Any:
    """A tuple field whose items follow `rule`."""
    return ruled(Many(rule, least))
