"""Trials: the unit of work, as a worker receives it and as a reader sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from contract.base import Scalar, ScheduleValue, View
from contract.tasks import Budget, Task

TrialStatus: TypeAlias = Literal["queued", "leased", "complete", "pruned", "diverged", "failed", "cancelled"]
AttemptOutcome: TypeAlias = Literal[
    "active", "complete", "pruned", "diverged", "failed", "cancelled", "lost", "preempted"
]
Origin: TypeAlias = Literal["grid", "startup", "tpe", "quasi-random", "range_test"]
"""Where a proposal came from; `quasi-random` marks a point drawn because the queue had run dry."""


class TrialSpec(View):
    """Everything a worker needs to train one trial: nothing else decides its curve but (task, seed, this).

    `report_every` is the number of steps between reported training losses; 0 lets the worker choose.
    """

    id: int
    study_id: int
    number: int
    task: Task
    budget: Budget
    schedule: ScheduleValue
    seed: int
    report_every: int
    objective: str


class AttemptView(View):
    """One lease of a trial by one worker, and how it ended; `resumed_from` is the step it went on from."""

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: AttemptOutcome
    reason: str | None
    resumed_from: int | None


class TrialView(View):
    """A trial as it stands. `objective` is the study's metric; `total_steps` is known once a worker has started it."""

    id: int
    study_id: int
    number: int
    status: TrialStatus
    reason: str | None
    origin: Origin
    family: str
    params: dict[str, Scalar]
    schedule: ScheduleValue
    seed: int
    objective: float | None
    metrics: dict[str, float]
    total_steps: int | None
    steps_per_epoch: int | None
    steps_done: int
    engine: str | None
    device_seconds: float
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: list[AttemptView]


class TrialRow(View):
    """A trial in a list: no schedule, no attempts."""

    id: int
    number: int
    status: TrialStatus
    origin: Origin
    family: str
    params: dict[str, Scalar]
    seed: int
    objective: float | None
    steps_done: int
    total_steps: int | None
    worker: str | None


class Curve(View):
    """What a trial reported: `values[name][i]` was measured after `steps[i]` updates, None where it was not."""

    trial_id: int
    number: int
    family: str
    status: TrialStatus
    steps: list[int]
    values: dict[str, list[float | None]]


class RateCurve(View):
    """The rate (and momentum, when the schedule drives it) that update `steps[i]` uses.

    Of a schedule that answers to a metric: what has been used so far, a straight line between neighbours.
    """

    trial_id: int
    steps: list[int]
    lr: list[float]
    momentum: list[float] | None


class Curves(View):
    """Metric and rate curves of some trials of a study, thinned by the service to at most `points` each."""

    study_id: int
    curves: list[Curve]
    rates: list[RateCurve]
