"""The two kinds of message, what is received and what is answered, and the field types they share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from schedules import AnySchedule, Feedback, Schedule, from_dict, to_dict


class Message(BaseModel):
    """A message somebody sends us: unknown fields, NaN, and `false` in the place of a number are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class View(BaseModel):
    """A message we answer with: every field is always present, so that a reader never guesses a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
"""A registered name: of a dataset, a model, a metric, a schedule family."""

WITHOUT_NUL = r"^[^\x00]*$"
Text: TypeAlias = Annotated[str, Field(pattern=WITHOUT_NUL)]
"""Words of somebody's own, of whatever characters but NUL, which PostgreSQL cannot store."""

Scalar: TypeAlias = bool | int | float | Annotated[Text, Field(min_length=1, max_length=64)]
"""A value a parameter can take; spans are strings such as "5%", "500 steps" and "5 epochs"."""


def _document(schedule: AnySchedule | dict[str, object]) -> dict[str, object]:
    """A schedule's JSON. A stored document is that already: the service hands it on without building the schedule."""
    return schedule if isinstance(schedule, dict) else to_dict(schedule)


ScheduleValue: TypeAlias = Annotated[
    AnySchedule,
    PlainValidator(lambda value: value if isinstance(value, Schedule | Feedback) else from_dict(value)),
    PlainSerializer(_document, return_type=dict[str, object]),
    WithJsonSchema(
        {
            "type": "object",
            "title": "Schedule",
            "description": "A point of the schedule grammar, or a rule that answers to a metric.",
        }
    ),
]
"""A schedule of either kind: one definition, the dataclasses of `schedules`, for its maths, its rules and its JSON."""
