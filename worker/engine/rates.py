"""The rate and momentum of each update: a table that is known before training, or a rule that answers to training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np

from schedules import BoundFeedback, Feedback, Schedule, ScheduleError
from worker.engine.job import Job
from worker.engine.plan import Horizon, Plan, PlanError, tabulate
from worker.engine.snapshot import Json, UnfitError

OBSERVED = "val_loss"
"""What a schedule that answers to a metric is told at each epoch's end, whatever the study optimises: every task has
it, and it moves by less than an accuracy's steps."""


class Rates(Protocol):
    """What updates `start` up to `stop` use; asked for in order, and not across an epoch's end."""

    def lr(self, start: int, stop: int) -> list[float]: ...

    def momentum(self, start: int, stop: int) -> list[float] | None:
        """None: the optimizer keeps its own."""
        ...

    def observe(self, values: Mapping[str, float], step: int) -> None:
        """The validation metrics after `step` updates, at an epoch's end."""
        ...

    def told(self, step: int) -> dict[str, float]:
        """What nobody knows but from a report: `lr`, the rate of the last of the `step` updates made."""
        ...

    @property
    def state(self) -> Json:
        """What observations have made of it, None where they change nothing; set to continue from there."""
        ...

    @state.setter
    def state(self, state: Json) -> None: ...


class Table:
    """See `Rates`: the rates of a schedule that is a function of the step."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def lr(self, start: int, stop: int) -> list[float]:
        values: list[float] = self._plan.lr[start:stop].tolist()
        return values

    def momentum(self, start: int, stop: int) -> list[float] | None:
        return None if self._plan.momentum is None else self._plan.momentum[start:stop].tolist()

    def observe(self, values: Mapping[str, float], step: int) -> None:
        """Changes nothing."""

    def told(self, step: int) -> dict[str, float]:
        return {}

    @property
    def state(self) -> Json:
        return None

    @state.setter
    def state(self, state: Json) -> None:
        if state is not None:
            raise UnfitError("its rates answered to a metric, and here are a function of the step")


class Answering:
    """See `Rates`: the rates of a schedule that answers to `OBSERVED`."""

    def __init__(self, bound: BoundFeedback) -> None:
        self._bound = bound

    def lr(self, start: int, stop: int) -> list[float]:
        values: list[float] = self._bound.lr(np.arange(start, stop)).tolist()
        return values

    def momentum(self, start: int, stop: int) -> list[float] | None:
        return None

    def observe(self, values: Mapping[str, float], step: int) -> None:
        self._bound.observe(values[OBSERVED], step=step)

    def told(self, step: int) -> dict[str, float]:
        return {"lr": self._bound.lr(step - 1)}

    @property
    def state(self) -> Json:
        return cast("Json", self._bound.state)

    @state.setter
    def state(self, state: Json) -> None:
        if not isinstance(state, dict):
            raise UnfitError("its rates were a function of the step, and here answer to a metric")
        try:
            self._bound.restore(state)
        except ScheduleError as error:
            raise UnfitError(str(error)) from error


def rates(job: Job, horizon: Horizon) -> Rates:
    """Bind the job's schedule. Raises PlanError, or ScheduleError, when it does not fit the horizon."""
    schedule = job.schedule
    if isinstance(schedule, Schedule):
        return Table(tabulate(schedule, horizon))
    return Answering(_bound(schedule, horizon))


def _bound(schedule: Feedback, horizon: Horizon) -> BoundFeedback:
    if schedule.mode != "min":
        raise PlanError(f"schedule.mode: need min, as {OBSERVED} is observed, got {schedule.mode}")
    return schedule.bind(horizon.total_steps, horizon.steps_per_epoch)
