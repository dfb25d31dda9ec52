"""Which jobs can be rows of one array, and which of them make the same updates while their tables agree."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, replace

from schedules import updates
from worker.engine.averaging import Ensemble
from worker.engine.job import Job
from worker.engine.plan import mask_seed

TOLD_BY_THE_TABLE = {"id", "schedule", "optimizer", "epochs", "steps", "report_every", "averaging"}
"""Fields of a job that do not show in its updates, and in what averages take in, beyond the numbers they read."""


def everything_else(job: Job) -> tuple[Hashable, ...]:
    """What jobs must have in common, their tables apart, to make the same updates."""
    return (*told(job), job.task)


def told(job: Job) -> tuple[Hashable, ...]:
    """The same in plain values, which are equal in every process; the task by its name."""
    unsaid = TOLD_BY_THE_TABLE | {"task", "resume"}
    rest = tuple((one.name, getattr(job, one.name)) for one in fields(job) if one.name not in unsaid)
    return job.task.key, updates.kind(job.optimizer), mask_seed(job), rest, _growth(job)


def alike(one: Job, other: Job) -> bool:
    """Whether two jobs can be rows of one array, as far as a look at them tells."""
    return kind(one) == kind(other)


def kind(job: Job) -> Hashable:
    """What rows of one array have in common."""
    # Layer-wise rates take another update, whatever their factors, which are each lane's own.
    numbers = replace(job.optimizer, layer_decay=1.0)
    updated = updates.kind(numbers), job.optimizer.layer_decay != 1
    # What the averages of a lane are is part of the shape of its state; when they look is each lane's own.
    averages = tuple(wanted.members if isinstance(wanted, Ensemble) else wanted.name for wanted in job.averaging)
    seen = job.batch_size, job.augmentation, job.precision, _growth(job)
    return job.task, job.label_smoothing, *updated, averages, *seen


def _growth(job: Job) -> Hashable:
    """By which numbers its images grow as it trains; None: they do not."""
    growing = job.augmentation is not None and job.augmentation.resizing is not None
    return (job.epochs, job.steps) if growing else None
