"""When averages and ensembles look at a model in training: known before its first update, the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schedules import Schedule
from worker.engine.averaging import Ema, Ensemble, Swa
from worker.engine.job import Job
from worker.engine.plan import Horizon, PlanError, tabulate
from worker.tasks import Ensembling


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taking:
    """`weights[:, n]` are the `weights` of the average `names[n]`, float64 [T, n]. An ensemble has room for `members`,
    0 where none is asked for, and takes them after so many updates each: `ends`.
    """

    names: tuple[str, ...]
    weights: NDArray[np.float64]
    members: int = 0
    ends: tuple[int, ...] = ()

    @property
    def table(self) -> NDArray[np.float64]:
        """What is done after each update, [T, n + members]: the weights, and 1 where a member is taken."""
        taken = np.zeros((len(self.weights), self.members))
        taken[[end - 1 for end in self.ends], range(len(self.ends))] = 1.0
        return np.hstack([self.weights, taken])


def taking(job: Job, horizon: Horizon) -> Taking:
    """What the job's `averaging` takes in, and when. Raises PlanError when it cannot be had."""
    moving = [wanted for wanted in job.averaging if not isinstance(wanted, Ensemble)]
    ensemble = next((wanted for wanted in job.averaging if isinstance(wanted, Ensemble)), None)
    columns = [weights(wanted, horizon) for wanted in moving]
    return Taking(
        names=tuple(wanted.name for wanted in moving),
        weights=np.stack(columns, axis=1) if columns else np.zeros((horizon.total_steps, 0)),
        members=ensemble.members if ensemble else 0,
        ends=tuple(member_ends(job, horizon, ensemble)) if ensemble else (),
    )


def weights(wanted: Swa | Ema, horizon: Horizon) -> NDArray[np.float64]:
    """`weights[s - 1]` is how far the average moves towards the weights after `s` updates, [T].

    SWA: 1, 1/2, 1/3, ... where it looks, 0 elsewhere. EMA: (1 - decay) / (1 - decay^s), so that the shares of s weights
    sum to 1. The first is 1: what was there before does not count. Raises PlanError when there is none.
    """
    steps = np.arange(1, horizon.total_steps + 1)
    if isinstance(wanted, Ema):
        return (1.0 - wanted.decay) / (1.0 - wanted.decay ** steps.astype(np.float64))
    start, every = (span.steps(horizon.total_steps, horizon.steps_per_epoch) for span in (wanted.start, wanted.every))
    if every < 1:
        raise PlanError(f"averaging.swa.every: need at least 1 step, got {wanted.every} of {horizon.total_steps} steps")
    looks = (steps % round(every) == 0) & (steps > start)
    if not looks.any():
        raise PlanError(
            f"averaging.swa: need a multiple of every ({wanted.every}) behind start ({wanted.start}), "
            f"got none in {horizon.total_steps} steps of {horizon.steps_per_epoch} to the epoch"
        )
    shares: NDArray[np.float64] = np.where(looks, 1.0 / np.maximum(1, np.cumsum(looks)), 0.0)
    return shares


def member_ends(job: Job, horizon: Horizon, wanted: Ensemble) -> list[int]:
    """After how many updates the members of the ensemble are taken. Raises PlanError when there can be none."""
    if not isinstance(job.schedule, Schedule):
        raise PlanError(
            f"averaging.ensemble: need a schedule whose cycles are known before training, got {job.schedule}"
        )
    if not isinstance(job.task, Ensembling):
        raise PlanError(f"averaging.ensemble: need a task that has combined(outputs), got {job.task.key}")
    return cycle_ends(tabulate(job.schedule, horizon).lr)[-wanted.members :]


def cycle_ends(lr: NDArray[np.float64]) -> list[int]:
    """After how many updates a cycle has ended: the rate is at its lowest before it rises again, or training is over.

    >>> cycle_ends(np.array([1.0, 3.0, 2.0, 1.0, 1.0, 3.0, 2.0, 1.0]))
    [5, 8]
    """
    last = np.append(np.flatnonzero(np.diff(lr)), len(lr) - 1)  # of each run of equal rates
    levels = lr[last]
    lowest = (levels[1:-1] < levels[:-2]) & (levels[1:-1] < levels[2:])
    ends: list[int] = (last[1:-1][lowest] + 1).tolist()
    return [*ends, len(lr)]
