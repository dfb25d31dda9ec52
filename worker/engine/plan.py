"""What is known of a job before its first update: horizon, rate table, batch order, when to report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schedules import Schedule, to_dict
from worker.engine.job import Job

# Streams of one seed that must not be correlated: initial weights (and what a forward draws after them), the order of
# the data, the masks of dropout, and what augmentation does to each image.
WEIGHTS, ORDER, MASKS, LUCK = 0, 1, 2, 3

FORTUNE = 2**24
"""Below which luck lies."""

CLOSEST = 8
"""Steps between reports when the job leaves it open: a look at the loss costs up to a tenth of a small model's step."""


class PlanError(ValueError):
    """A job that does not fit its data."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Horizon:
    """How many updates there are, and after which of them something is reported."""

    total_steps: int
    steps_per_epoch: int
    report_every: int

    def stop_after(self, step: int) -> int:
        """The next of `stops` behind `step`."""
        after_report = step - step % self.report_every + self.report_every
        after_epoch = step - step % self.steps_per_epoch + self.steps_per_epoch
        return min(after_report, after_epoch, self.total_steps)

    def stops(self, *, after: int = 0) -> Iterator[int]:
        """The steps behind `after` at which something is reported: every `report_every`, epochs' ends, the last one."""
        step = after
        while step < self.total_steps:
            step = self.stop_after(step)
            yield step

    def validates(self, step: int) -> bool:
        """Whether the validation metrics are measured after `step` updates."""
        return step % self.steps_per_epoch == 0 or step == self.total_steps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan(Horizon):
    """`lr[step]` and `momentum[step]` (None: the optimizer keeps its own) are what update `step` uses, float64 [T]."""

    lr: NDArray[np.float64]
    momentum: NDArray[np.float64] | None


def horizon_of(job: Job, examples: int) -> Horizon:
    """The job's horizon over `examples` training examples. Raises PlanError when a batch does not fit."""
    if job.batch_size > examples:
        raise PlanError(
            f"batch_size: need at most the {examples} training examples of {job.task.key}, got {job.batch_size}"
        )
    steps_per_epoch = examples // job.batch_size
    total = job.steps if job.steps is not None else (job.epochs or 0) * steps_per_epoch
    return Horizon(
        total_steps=total,
        steps_per_epoch=steps_per_epoch,
        report_every=job.report_every or max(CLOSEST, -(-total // 100)),
    )


def make_plan(job: Job, examples: int) -> Plan:
    """Horizon and rates of a job whose rates are known before training. Raises PlanError, or ScheduleError."""
    if not isinstance(job.schedule, Schedule):
        raise PlanError(f"schedule: need one that is known before training, got {job.schedule}, which needs a metric")
    return tabulate(job.schedule, horizon_of(job, examples))


def tabulate(schedule: Schedule, horizon: Horizon) -> Plan:
    """The schedule over the horizon. Raises PlanError, or ScheduleError, when it does not fit."""
    bound = schedule.bind(horizon.total_steps, horizon.steps_per_epoch)
    steps = np.arange(horizon.total_steps)
    momentum = bound.momentum(steps)
    return Plan(
        total_steps=horizon.total_steps,
        steps_per_epoch=horizon.steps_per_epoch,
        report_every=horizon.report_every,
        lr=_checked("lr", np.asarray(bound.lr(steps), dtype=np.float64)),
        momentum=None if momentum is None else _checked("momentum", np.asarray(momentum, dtype=np.float64)),
    )


def _checked(name: str, table: NDArray[np.float64]) -> NDArray[np.float64]:
    wrong = np.flatnonzero(~(np.isfinite(table) & (table >= 0)))
    if wrong.size:
        raise PlanError(f"schedule: {name} must be finite and at least 0, got {table[wrong[0]]} at step {wrong[0]}")
    return table


def derived_seed(seed: int, *stream: int) -> int:
    """A 63-bit seed that is a pure function of the trial's seed and the stream's name."""
    state = np.random.SeedSequence(seed, spawn_key=stream).generate_state(1, np.uint64)
    return int(state[0] >> 1)


def mask_seed(job: Job) -> int:
    """What the job's dropout masks are drawn from, with step and layer: its seed, and for masks of its own its schedule
    and optimizer too, so that two trials of a study differ and the same trial never does.
    """
    if job.dropout_masks == "shared":
        return derived_seed(job.seed, MASKS)
    text = json.dumps([to_dict(job.schedule), asdict(job.optimizer)], sort_keys=True)
    return derived_seed(job.seed, MASKS, int(sha256(text.encode()).hexdigest()[:8], 16))


def epoch_order(seed: int, epoch: int, examples: int) -> Tensor:
    """The order of the training examples in this epoch, int64 [examples]: a pure function of the arguments."""
    generator = torch.Generator().manual_seed(derived_seed(seed, ORDER, epoch))
    return torch.randperm(examples, generator=generator)


def epoch_luck(seed: int, epoch: int, examples: int, draws: int) -> Tensor:
    """So many numbers below `FORTUNE` for each place in the epoch's order, int64 [examples, draws]: a pure function of
    the arguments. Whole numbers, so that what is made of them is the same on every device.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, LUCK, epoch))
    return torch.randint(FORTUNE, (examples, draws), generator=generator)
