"""Schedules to and from JSON: one definition, the fields of the values themselves and their rules."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from schedules.schedule import Schedule
from schedules.span import Span
from schedules.tagged import Tagged, decode


def to_dict(schedule: Tagged) -> dict[str, Any]:  # Any: JSON
    """Every field, defaults included, so that a document means the same after a default changes; floats are exact.

    >>> from schedules import Schedule
    >>> to_dict(Schedule(lr=0.1))["shape"]["profile"]
    {'kind': 'constant'}
    """
    return {"kind": schedule.kind} | {item.name: _encode(getattr(schedule, item.name)) for item in fields(schedule)}


def from_dict(document: object) -> Schedule:
    """The schedule a document describes; `ScheduleError` names the path of what is unknown, missing or wrong."""
    return decode(Schedule, "schedule", document)


def _encode(value: object) -> object:
    if isinstance(value, Tagged):
        return to_dict(value)
    if isinstance(value, Span):
        return value.to_json()
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value
