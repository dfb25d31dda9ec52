"""The fields of a message as a user spells them, and what pydantic found wrong with them in those terms."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, TypeGuard

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from contract.errors import FieldError

Path: TypeAlias = tuple[str | int, ...]
"""Where a field is: `("space", "schedules", 2, "d")`."""

SHOWN = 200
RULES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a field",
    "finite_number": "must be a finite number",
}


class _Holder(Protocol):
    def __getitem__(self, part: str | int, /) -> object: ...


def spell(path: Path) -> str:
    """`("space", "schedules", 2, "d")` as `space.schedules[2].d`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def parse(field: str) -> Path:
    """The inverse of `spell`; `space.schedules.2.d` is understood too."""
    parts = [part for part in re.split(r"[.\[\]]+", field) if part]
    return tuple(int(part) if part.isascii() and part.isdigit() else part for part in parts)


def broken_rules(error: ValidationError, data: object) -> list[FieldError]:
    """One entry for each rule that `data` breaks."""
    return [_broken(found, data) for found in error.errors(include_url=False)]


def _broken(found: ErrorDetails, data: object) -> FieldError:
    path = field_path(found["loc"], data, missing=found["type"] == "missing")
    rule = RULES.get(found["type"]) or found["msg"].removeprefix("Value error, ").replace("Input should", "should")
    value: object = found.get("input")
    # Any: pydantic's context has other entries for each type of error
    context: dict[str, Any] = found.get("ctx", {})
    if found["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        path = (*path, str(context["discriminator"]).strip("'"))
        value = context.get("tag")
        rule = f"must be one of {context['expected_tags']}" if value is not None else "is required"
    shown = None if found["type"] in {"missing", "union_tag_not_found"} else _shown(value)
    return FieldError(field=spell(path), rule=rule, value=shown)


def field_path(location: Path, data: object, *, missing: bool) -> Path:
    """The parts of pydantic's location that are fields of `data`; the others are names of a union's members.

    A member may be called like a field, so of the readings that fit, the one that reaches furthest down is taken.
    """
    if not location:
        return ()
    first, rest = location[0], location[1:]
    readings = [field_path(rest, data, missing=missing)]
    if _holds(data, first):
        readings.append((first, *field_path(rest, data[first], missing=missing)))
    elif isinstance(data, dict) and missing and not rest:
        readings.append((first,))
    return max(readings, key=len)


def _holds(data: object, part: str | int) -> TypeGuard[_Holder]:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _shown(value: object) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
