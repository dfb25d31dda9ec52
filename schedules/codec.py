"""Schedules to and from JSON: one definition, the fields of the values themselves and their rules."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeAlias

from schedules.feedback import Feedback
from schedules.piece import Piece
from schedules.schedule import Schedule
from schedules.span import Span
from schedules.tagged import Part, Tagged

AnySchedule: TypeAlias = Schedule | Feedback
"""What can be trained with: a function of the step, or a rule that answers to a metric (`needs_metric`)."""


def to_dict(schedule: Tagged) -> dict[str, Any]:  # Any: JSON
    """Every field, defaults included, so that a document means the same after a default changes; floats are exact.

    >>> from schedules import Schedule
    >>> to_dict(Schedule(lr=0.1))["shape"]["profile"]
    {'kind': 'constant'}
    """
    return {"kind": schedule.kind} | {item.name: _encode(getattr(schedule, item.name)) for item in fields(schedule)}


def from_dict(document: object) -> AnySchedule:
    """The schedule a document describes; `ScheduleError` names the path of what is unknown, missing or wrong.

    >>> from_dict({"kind": "reduce_on_plateau", "lr": 0.1, "patience": 3})
    ReduceOnPlateau(lr=0.1, patience=3)
    """
    schedule = Part(Piece).decode("schedule", document)
    assert isinstance(schedule, Schedule | Feedback)
    return schedule


def _encode(value: object) -> object:
    if isinstance(value, Tagged):
        return to_dict(value)
    if isinstance(value, Span):
        return value.to_json()
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value
