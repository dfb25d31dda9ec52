"""A study's space bound to the schedule presets: checked when it is bound, and turned point by point into proposals."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import combinations, product
from typing import Any

from pydantic import ValidationError

from contract.base import Scalar
from contract.space import Choice, Domain, Family, Range, Space
from contract.tasks import Budget, Task, task_with
from contract.trials import Origin
from schedules import AnySchedule, ScheduleError, to_dict
from schedules.presets import LR, REGISTRY, Parameter, Preset
from service.search.domains import Bounds, Dimension, Interval, Options
from service.search.strategy import Params, Proposal, SpaceError

OPTIMIZER = {
    "momentum": Parameter(name="momentum", default=0.9, kind="float", description="momentum or beta1", low=0, below=1),
    "weight_decay": Parameter(name="weight_decay", default=0.0, kind="float", description="weight decay", low=0),
}
"""What a space may search besides the schedule, by the names of the optimizer's fields; its own bounds hold too."""

STEPS_PER_EPOCH = 1_000_000
"""More steps than an epoch is likely to have: what does not fit into so long a horizon will not fit the real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One entry of `space.schedules` with every domain that applies to it, in an order of its own: rate, the preset's
    parameters, the optimizer's numbers (a database may hand the definition's keys back in any order)."""

    index: int
    place: str
    preset: Preset
    dimensions: tuple[Dimension, ...]
    searched: tuple[Dimension, ...] = field(init=False)
    fixed: dict[str, Scalar] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "searched", tuple(item for item in self.dimensions if not item.fixed))
        object.__setattr__(self, "fixed", {item.name: item.domain.at(0.0) for item in self.dimensions if item.fixed})

    @property
    def family(self) -> str:
        return self.preset.name

    def place_of(self, name: str) -> str | None:
        """Where the definition gives the domain of a parameter; None when it does not."""
        return next((item.field for item in self.dimensions if item.name == name.partition(".")[0]), None)

    def schedule(self, params: Params) -> AnySchedule:
        """The schedule at a point; `SpaceError` at this entry when the values do not go together."""
        try:
            return self.preset.build(**_numbers(params))
        except ScheduleError as error:
            raise _refused(self.place_of(error.argument) or self.place, error) from error


@dataclass(frozen=True, slots=True)
class BoundSpace:
    """The branches of a space, every value of which was found to fit its preset, the optimizer and the budget."""

    branches: tuple[Branch, ...]

    def proposal(
        self, branch: Branch, params: Params, *, number: int, origin: Origin, seed: int, report_every: int = 0
    ) -> Proposal:
        schedule = branch.schedule(params)
        return Proposal(
            number=number,
            origin=origin,
            family=branch.family,
            params=params,
            config=config_of(schedule, params),
            schedule=schedule,
            seed=seed,
            report_every=report_every,
        )


def bind(space: Space, task: Task, budget: Budget) -> BoundSpace:
    """Check every name and value of the space; the ends of ranges and each choice are tried for real."""
    if not space.schedules:
        raise SpaceError("space.schedules", "need at least one schedule family", [])
    branches = tuple(_branch(space, entry, index) for index, entry in enumerate(space.families))
    for branch in branches:
        _check(branch, task, budget)
    return BoundSpace(branches)


def config_of(schedule: AnySchedule, params: Params) -> str:
    """What trials that differ only in their seed have in common: sha256 of canonical JSON, its first 16 hex digits."""
    optimizer = {name: params[name] for name in OPTIMIZER if name in params}
    text = json.dumps(
        {"schedule": to_dict(schedule), "optimizer": optimizer}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def meaning(value: object, rule: Parameter) -> Hashable:
    """The value in the type the preset works with, equal for all ways to write it."""
    checked = rule.check(value)
    if not isinstance(checked, Hashable):
        raise TypeError(f"{rule.name}: a parameter's value must be hashable, got {checked!r}")
    return checked


def preset_named(place: str, name: str) -> Preset:
    """The preset of that name, or `SpaceError` with the nearest name and all of them."""
    if name not in REGISTRY:
        raise SpaceError(place, f"unknown schedule family{_near(name, REGISTRY)}", name)
    return REGISTRY[name]


def _branch(space: Space, entry: Family, index: int) -> Branch:
    place = f"space.schedules[{index}]"
    preset = preset_named(place, entry.family)
    rules = {LR.name: LR} | {parameter.name: parameter for parameter in preset.parameters}
    given = entry.parameters
    for name, domain in given.items():
        if name not in rules:
            raise SpaceError(
                f"{place}.{name}", f"unknown parameter of {preset.name}{_near(name, rules)}", _shown(domain)
            )
    if "lr" not in given and space.lr is None:
        raise SpaceError("space.lr", f"need a learning rate, here for all families or in {place}", None)
    dimensions = [_dimension(f"{place}.{name}", given[name], item) for name, item in rules.items() if name in given]
    if "lr" not in given and space.lr is not None:
        dimensions.insert(0, _dimension("space.lr", space.lr, LR))
    for name, searched in (("momentum", space.momentum), ("weight_decay", space.weight_decay)):
        if searched is not None:
            dimensions.append(_dimension(f"space.{name}", searched, OPTIMIZER[name]))
    return Branch(index=index, place=place, preset=preset, dimensions=tuple(dimensions))


def _dimension(place: str, domain: Domain, rule: Parameter) -> Dimension:
    """The domain with its type and bounds checked against the parameter's rule, value by value."""
    if isinstance(domain, Range):
        bounds: Bounds = _interval(place, domain, rule)
    else:
        values = domain.choice if isinstance(domain, Choice) else [domain]
        bounds = Options(tuple(_plain(value, rule) for value in values))
    seen: set[Hashable] = set()
    for value in bounds.ends():
        stands_for = _meaning(place, value, rule)
        if stands_for in seen:
            raise SpaceError(place, "choice: values must differ", value)
        seen.add(stands_for)
    return Dimension(rule=rule, field=place, domain=bounds)


def _interval(place: str, domain: Range, rule: Parameter) -> Interval:
    shown = _shown(domain)
    if rule.kind not in {"float", "int", "span"}:
        raise SpaceError(place, f"takes a value or a choice, not a range ({rule.rule})", shown)
    whole = rule.kind == "int"
    if whole and not (float(domain.low).is_integer() and float(domain.high).is_integer()):
        raise SpaceError(place, "a whole number: need whole low and high", shown)
    return Interval(low=float(domain.low), high=float(domain.high), log=domain.log, integer=whole, points=domain.points)


def _meaning(place: str, value: Scalar, rule: Parameter) -> Hashable:
    """What the value stands for: 0.05 and "5%" are one span. `SpaceError` when it breaks the parameter's rule."""
    try:
        return meaning(value, rule)
    except ScheduleError as error:
        raise SpaceError(place, error.rule, value) from error


def _plain(value: Scalar, rule: Parameter) -> Scalar:
    """JSON writes 1 for 1.0; everything else stays as it was written."""
    return float(value) if rule.kind in {"float", "span"} and type(value) is int else value


def _check(branch: Branch, task: Task, budget: Budget) -> None:
    """Build and bind for real: each telling value, alone beside the preset's defaults so that the one to blame is
    known, then spans two at a time, which may be too long together."""
    lr = branch.dimensions[0].domain.at(0.0)
    for item in branch.dimensions:
        for value in item.telling():
            _try(branch, {"lr": lr, item.name: value}, task, budget, at=item)
    base = {item.name: item.domain.at(0.0) for item in branch.dimensions}
    for one, other in combinations((item for item in branch.dimensions if item.rule.kind == "span"), 2):
        for left, right in product(one.telling(), other.telling()):
            _try(branch, {**base, one.name: left, other.name: right}, task, budget, at=other)
    _try(branch, base, task, budget, at=branch.dimensions[-1])


def _try(branch: Branch, params: Params, task: Task, budget: Budget, *, at: Dimension) -> None:
    _check_optimizer(branch, task, params)
    try:
        bound = branch.preset.build(**_numbers(params)).bind(*_horizon(budget))
    except ScheduleError as error:
        raise _refused(branch.place_of(error.argument) or at.field, error) from error
    if "momentum" in params and bound.momentum(0) is not None:
        rule = f"{branch.family} ({branch.place}) drives momentum itself; give the others theirs in task.optimizer"
        raise SpaceError("space.momentum", rule, params["momentum"])


def _check_optimizer(branch: Branch, task: Task, params: Params) -> None:
    try:
        task_with(task, params)
    except ValidationError as error:
        first = error.errors()[0]
        place = branch.place_of(str(first["loc"][0])) or branch.place
        raise SpaceError(place, f"{task.optimizer.name}: {first['msg']}", first["input"]) from error


def _numbers(params: Params) -> dict[str, Any]:
    """The schedule's part of a point; `Preset.build` checks the types, the rate's among them."""
    return {name: value for name, value in params.items() if name not in OPTIMIZER}


def _horizon(budget: Budget) -> tuple[int, int]:
    """Total steps and steps per epoch, the unknown one of them as lenient as it can be."""
    if budget.epochs is None:
        return budget.steps or 1, 1
    return budget.epochs * STEPS_PER_EPOCH, STEPS_PER_EPOCH


def _refused(place: str, error: ScheduleError) -> SpaceError:
    argument = "" if place.endswith(f".{error.argument}") else f"{error.argument}: "
    return SpaceError(place, f"{argument}{error.rule}", error.value)


def _shown(domain: Domain) -> object:
    """A domain as its author wrote it."""
    return domain.model_dump(exclude_defaults=True) if isinstance(domain, Choice | Range) else domain


def _near(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    return f"{f', did you mean {near[0]!r}?' if near else ''} (known: {', '.join(names)})"
