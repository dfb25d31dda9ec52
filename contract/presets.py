"""The schedule families a study can name, and drawings of schedules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contract.base import Message, ScheduleValue, View


class ParameterView(View):
    """A parameter: how it is written (`kind`), its rule in words, its default, and where a search would look.

    `search` is a domain as a study's space writes it, None where searching the parameter makes little sense.
    """

    name: str
    kind: str
    description: str
    rule: str
    default: bool | int | float | str | None
    search: dict[str, object] | None


class PresetView(View):
    """A schedule family under the field's name. Every family also takes `lr`, the peak learning rate.

    `needs_metric`: it answers to the validation loss, so that its rates are known only after training; `lr` is where
    it starts.
    """

    name: str
    summary: str
    formula: str
    source: str
    needs_metric: bool
    parameters: list[ParameterView]


class DrawSchedules(Message):
    """Schedules to draw on one plot over `total_steps` updates; names become the legend."""

    schedules: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=80)], ScheduleValue], Field(min_length=1, max_length=12)
    ]
    total_steps: Annotated[int, Field(ge=1, le=100_000_000)]
    steps_per_epoch: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    log: bool = False
    width: Annotated[int, Field(ge=200, le=4_000)] = 720
    height: Annotated[int, Field(ge=200, le=4_000)] = 420
