"""The base of every piece of the grammar: a frozen value whose fields have rules, with a `kind` in JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar, dataclass_transform

from schedules.errors import ScheduleError
from schedules.rules import choice, flag, listed, number, ruled, span, whole

DEEPEST = 32
"""How deep a document may nest: schedules join schedules, and Python's stack is finite."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tagged:
    """Checks every field against its rule when built; `check` adds the rules that involve several fields.

    Equality, hash and repr are written once here: generated for each class they were half of the package's import time.
    """

    kind: ClassVar[str] = ""
    default_kind: ClassVar[str | None] = None

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, item.name) == getattr(other, item.name) for item in fields(self))

    def __hash__(self) -> int:
        return hash((self.kind, *(getattr(self, item.name) for item in fields(self))))

    def __repr__(self) -> str:
        told = [item for item in fields(self) if getattr(self, item.name) != item.default]
        return f"{type(self).__name__}({', '.join(f'{item.name}={getattr(self, item.name)!r}' for item in told)})"

    def __post_init__(self) -> None:
        for name, rule in rules_of(type(self)).items():
            object.__setattr__(self, name, rule.check(name, getattr(self, name)))
        self.check()

    def check(self) -> None:
        """Raise `ScheduleError` when the fields do not go together."""


V = TypeVar("V", bound=Tagged)

_VARIANTS: dict[str, list[type[Tagged]]] = {}


def variants(base: type[V]) -> Mapping[str, type[V]]:
    """The registered kinds of `base`, by name."""
    known = {kind: cls for kind, classes in _VARIANTS.items() for cls in classes if issubclass(cls, base)}
    return MappingProxyType(known)


# A rule is stored in a field's metadata, which the standard library types as Any.
def rules_of(cls: type[Tagged]) -> dict[str, Any]:
    """The rule of each field, in the order of the fields."""
    return {item.name: item.metadata["rule"] for item in fields(cls)}


@dataclass(frozen=True, slots=True)
class Part:
    """Rule: a value of `base`, one of its registered kinds."""

    base: type[Tagged]
    optional: bool = False

    def check(self, argument: str, value: object) -> object:
        if value is None and self.optional:
            return None
        if not isinstance(value, self.base):
            raise ScheduleError(argument, f"need a {self.base.__name__}", repr(value))
        return value

    def decode(self, path: str, data: object) -> object:
        return None if data is None and self.optional else decode(self.base, path, data)


def part(base: type[Tagged], *, default: Tagged | object | None = MISSING) -> Any:  # Any: as dataclasses.field
    """A field holding a `base`; optional when its default is None."""
    return ruled(Part(base, optional=default is None), default)


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(ruled, number, whole, flag, choice, span, listed, part)
)
def tagged(kind: str) -> Callable[[type[V]], type[V]]:
    """Make the class a frozen keyword-only dataclass, known to the codec and to `variants` as `kind`."""

    def register(cls: type[V]) -> type[V]:
        value = dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)(cls)
        value.kind = kind
        _VARIANTS.setdefault(kind, []).append(value)
        return value

    return register


def decode(base: type[V], path: str, data: object) -> V:
    """The value of `base` that `data` describes; errors carry the path of what is wrong."""
    if not isinstance(data, Mapping):
        raise ScheduleError(path, "need an object", repr(data))
    if path.count(".") > DEEPEST:
        raise ScheduleError(path, f"need at most {DEEPEST} levels of nesting", "more")
    known = variants(base)
    kind = data.get("kind", base.default_kind)
    if not isinstance(kind, str) or kind not in known:
        raise ScheduleError(f"{path}.kind", f"need one of {', '.join(sorted(known))}", repr(kind))
    cls = known[kind]
    rules = rules_of(cls)
    for name in data:
        if name != "kind" and name not in rules:
            allowed = ", ".join(rules) or "none"
            raise ScheduleError(f"{path}.{name}", f"unknown field of {kind} (its fields: {allowed})", repr(data[name]))
    required = [item.name for item in fields(cls) if item.default is MISSING]
    for name in required:
        if name not in data:
            raise ScheduleError(f"{path}.{name}", f"{kind} needs this field", "nothing")
    values = {name: rule.decode(f"{path}.{name}", data[name]) for name, rule in rules.items() if name in data}
    try:
        return cls(**values)
    except ScheduleError as error:
        raise error.at(path) from None
