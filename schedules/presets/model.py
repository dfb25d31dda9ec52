"""What a preset is: a name, its parameters with rules and default search domains, and how they become a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from schedules.codec import AnySchedule
from schedules.errors import ScheduleError
from schedules.rules import Flag, Number, OneOf, parse_span
from schedules.sampling import At, Every, Sampling
from schedules.span import Span

Kind: TypeAlias = Literal["float", "int", "bool", "choice", "span", "spans", "sampling"]
Value: TypeAlias = float | int | bool | str | None
"""How a parameter is written: spans as "5%", "500 steps", "5 epochs"; several of them as "50%, 75%"."""

Domain: TypeAlias = Mapping[str, object]
"""{"low": .., "high": .., "log": ..} or {"choice": [..]}, as a study's space writes it."""

# What reaches a preset's function are checked values of the kinds above, each under its own name.
Build: TypeAlias = Callable[..., AnySchedule]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One argument of a preset. `low` .. `below` bound a number (`above` and `below` leave the bound out); a default of
    None allows None; `search` is where a study looks when it names the parameter without a domain."""

    name: str
    default: Value
    kind: Kind
    description: str
    search: Domain | None = None
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    options: tuple[str, ...] = ()
    positive: bool = False

    def check(self, value: object) -> object:
        """The value in the type the preset works with (`Span`, `Sampling`, float, ...), or `ScheduleError`."""
        if value is None and self.default is None:
            return None
        return CHECKS[self.kind](self, value)

    @property
    def rule(self) -> str:
        """The rule in words, as the errors and the reference state it."""
        if self.kind in {"float", "int"}:
            return self.number.text(self.name)
        if self.kind == "choice":
            return f"one of {', '.join(self.options)}"
        return RULES[self.kind]

    @property
    def number(self) -> Number:
        """The bounds of a number."""
        return Number(low=self.low, high=self.high, above=self.above, below=self.below, integer=self.kind == "int")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A schedule family under the field's name. `build(lr=0.1, warmup="5%")` gives the schedule; `lr` is its peak."""

    name: str
    summary: str
    formula: str
    source: str
    parameters: tuple[Parameter, ...]
    function: Build = field(repr=False, compare=False)

    def build(self, *, lr: float, **params: object) -> AnySchedule:
        """The schedule with these parameters, the others at their defaults; `ScheduleError` names what is wrong."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in params.items():
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                allowed = ", ".join(["lr", *known])
                raise ScheduleError(name, f"{self.name} takes {allowed}{hint}", repr(value))
        values = {name: item.check(params.get(name, item.default)) for name, item in known.items()}
        return self.function(Number(above=0).check("lr", lr), **values)

    @property
    def needs_metric(self) -> bool:
        """Whether the family answers to a metric, so that its rates are known only once it has been trained with."""
        return self.build(lr=1.0).needs_metric

    @property
    def defaults(self) -> Mapping[str, Value]:
        """Every parameter's default."""
        return MappingProxyType({item.name: item.default for item in self.parameters})

    @property
    def space(self) -> Mapping[str, Domain]:
        """The default search domain of every parameter that has one."""
        return MappingProxyType({item.name: item.search for item in self.parameters if item.search is not None})


class Registry(dict[str, Preset]):
    """The presets by name; `add` is a decorator for the function that turns checked parameters into a schedule."""

    def add(
        self, name: str, *parameters: Parameter, summary: str, formula: str, source: str
    ) -> Callable[[Build], Build]:
        """Register under `name`; a name is given once."""

        def register(function: Build) -> Build:
            if name in self:
                raise ScheduleError("name", "need a name no other preset has", repr(name))
            self[name] = Preset(
                name=name, summary=summary, formula=formula, source=source, parameters=parameters, function=function
            )
            return function

        return register


def parse_spans(argument: str, value: object) -> tuple[Span, ...]:
    """ "50%, 75%" or "30 epochs, 60 epochs": spans of one unit, rising."""
    if not isinstance(value, str):
        raise ScheduleError(argument, RULES["spans"], repr(value))
    spans = tuple(parse_span(argument, item) for item in value.split(","))
    if len({item.unit for item in spans}) > 1:
        raise ScheduleError(argument, "need one unit for all of them", repr(value))
    if any(b.value <= a.value for a, b in pairwise(spans)):
        raise ScheduleError(argument, "need rising values", repr(value))
    return spans


def parse_sampling(argument: str, value: object) -> Sampling | None:
    """ "every step" | "10%" | "100 steps" | "1 epochs" (a zero-order hold) | "50-75" (at these percentages)."""
    if value == "every step":
        return None
    if not isinstance(value, str):
        raise ScheduleError(argument, RULES["sampling"], repr(value))
    parts = value.split("-")
    if all(part.strip().isdigit() for part in parts):
        try:
            return At(points=tuple(int(part) / 100 for part in parts))
        except ScheduleError as error:
            raise ScheduleError(argument, "need percentages between 0 and 100", repr(value)) from error
    span = parse_span(argument, value)
    return Every(span=_long(argument, span))


def _long(argument: str, span: Span) -> Span:
    if span.value == 0:
        raise ScheduleError(argument, "need a span longer than nothing", span)
    return span


def _span(parameter: Parameter, value: object) -> Span:
    span = parse_span(parameter.name, value)
    return _long(parameter.name, span) if parameter.positive else span


# Checks return what the kind says; the registry hands the values to the preset's function by name.
CHECKS: dict[str, Callable[[Parameter, object], Any]] = {
    "float": lambda parameter, value: parameter.number.check(parameter.name, value),
    "int": lambda parameter, value: parameter.number.check(parameter.name, value),
    "bool": lambda parameter, value: Flag().check(parameter.name, value),
    "choice": lambda parameter, value: OneOf(parameter.options).check(parameter.name, value),
    "span": _span,
    "spans": lambda parameter, value: parse_spans(parameter.name, value),
    "sampling": lambda parameter, value: parse_sampling(parameter.name, value),
}

RULES: dict[str, str] = {
    "bool": "true or false",
    "span": "a fraction in [0, 1], '5%', '500 steps' or '5 epochs'",
    "spans": "need spans of one unit, rising, such as '50%, 75%' or '30 epochs, 60 epochs'",
    "sampling": "need 'every step', a span such as '10%' or '1 epochs', or percentages such as '50-75'",
}
