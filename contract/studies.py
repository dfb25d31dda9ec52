"""Studies: what a user submits, and what the service says about it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from contract.base import Message, Name, Scalar, ScheduleValue, Text, View
from contract.search import Search
from contract.space import Space
from contract.tasks import Budget, Task

StudyStatus: TypeAlias = Literal["running", "paused", "complete", "stopped", "failed"]
Direction: TypeAlias = Literal["minimize", "maximize"]
News: TypeAlias = Literal["all", "state"]
"""What a reader may wait for: any change of a study, or only that it was paused, goes on, or has ended."""


class Objective(Message):
    """The metric a study optimises, as the task reports it at the end of training."""

    metric: Name = "val_loss"
    direction: Direction = "minimize"

    @model_validator(mode="after")
    def _does_not_peek(self) -> Self:
        if self.metric.startswith("test"):
            raise ValueError(f"metric: a search may see validation metrics only, got {self.metric!r}")
        return self


class Limits(Message):
    """When to give up: attempts of one trial lost with their machine, retries after an error, failures in a row."""

    max_lost: Annotated[int, Field(ge=0, le=1_000)] = 5
    max_retries: Annotated[int, Field(ge=0, le=100)] = 1
    max_failures_in_a_row: Annotated[int, Field(ge=1, le=100_000)] = 10


class CreateStudy(Message):
    """A study request: a task, a budget, what to search over and how.

    `project` left out is the one project of the asker's token, else `default`.
    """

    name: Annotated[Text, Field(min_length=1, max_length=120)]
    project: Name | None = None
    task: Task
    budget: Budget
    search: Search
    space: Space = Space()
    objective: Objective = Objective()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    limits: Limits = Limits()


class Progress(View):
    """How many trials are in which state; `planned` is None when the method cannot know."""

    planned: int | None
    queued: int
    leased: int
    complete: int
    pruned: int
    diverged: int
    failed: int
    cancelled: int


class LeaderboardEntry(View):
    """One configuration: its trials over seeds, and the mean and standard deviation of the objective over them.

    `std` is None for a single seed. `mean` is None when no trial of it finished with a value (all diverged).
    """

    rank: int
    config: str
    family: str
    params: dict[str, Scalar]
    mean: float | None
    std: float | None
    complete: int
    diverged: int
    trial_ids: list[int]


class StudyView(View):
    """A study as it stands. `waiting` says why nothing moves, when nothing does; `reason` why it ended.

    `version` counts the changes made to it, not its progress: `If-Match: "VERSION"` makes a change conditional on it.
    """

    id: int
    version: int
    project: str
    status: StudyStatus
    reason: str | None
    waiting: str | None
    created_at: datetime
    finished_at: datetime | None
    definition: CreateStudy
    progress: Progress
    best: LeaderboardEntry | None
    device_seconds: float


class BestView(View):
    """The winning configuration: schedule, how to use it, and its best trial with its metrics, test set included."""

    study_id: int
    trial_id: int
    objective: Objective
    entry: LeaderboardEntry
    schedule: ScheduleValue
    total_steps: int
    steps_per_epoch: int
    metrics: dict[str, float]
    snippet: str


class RangeTestCurve(View):
    """The loss of one seed against the rate it was computed at."""

    trial_id: int
    seed: int
    lr: list[float]
    loss: list[float]


class RangeTestView(View):
    """What a range test found: curves, the smoothed mean, the suggestion with its reason, and what other rules say.

    `suggestion` is None, with the reason, when the curve does not support one. `low` and `high` bracket the search.
    """

    study_id: int
    done: bool
    curves: list[RangeTestCurve]
    smoothed_lr: list[float]
    smoothed_loss: list[float]
    suggestion: float | None
    low: float | None
    high: float | None
    reason: str
    rules: dict[str, float]
