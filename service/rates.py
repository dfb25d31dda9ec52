"""The rate each update of a trial used: evaluated where the schedule is a function of the step, else as reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import ceil

import numpy as np

from contract.trials import RateCurve
from schedules import BoundFeedback, BoundSchedule, from_dict
from schedules.traces import Curve, Recorded
from service.models import Trial


def bound(row: Trial) -> BoundSchedule | BoundFeedback:
    """The trial's schedule over its horizon, which a worker has told."""
    assert row.total_steps is not None
    return from_dict(row.schedule).bind(row.total_steps, row.steps_per_epoch)


def rate_curve(row: Trial, steps: Sequence[int], values: Sequence[Mapping[str, float]], points: int) -> RateCurve:
    """At most `points` rates; of a schedule that answers to a metric, those it has used so far.

    `steps` and `values` are what the trial's attempt reported.
    """
    schedule = bound(row)
    if isinstance(schedule, BoundFeedback):
        used = _used(schedule, steps, values)
        kept = _turns(used, points)
        return RateCurve(trial_id=row.id, steps=used.steps[kept].tolist(), lr=used.rates[kept].tolist(), momentum=None)
    total = schedule.total_steps
    at = _sampled(total, points)
    momentum = schedule.momentum(at)
    return RateCurve(
        trial_id=row.id,
        steps=at.tolist(),
        lr=schedule.lr(at).tolist(),
        momentum=None if momentum is None else momentum.tolist(),
    )


@lru_cache(maxsize=256)
def _sampled(total: int, points: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Updates to look at: the same for all trials of a study."""
    return np.unique(np.linspace(0, total - 1, min(points, total)).round().astype(np.int64))


def drawn(row: Trial, steps: Sequence[int], values: Sequence[Mapping[str, float]]) -> Curve:
    """What can be drawn of the trial's rate: all of it, or what a metric has made of it so far."""
    schedule = bound(row)
    if isinstance(schedule, BoundFeedback):
        return _used(schedule, steps, values) if any("lr" in value for value in values) else schedule
    return schedule


def _used(schedule: BoundFeedback, steps: Sequence[int], values: Sequence[Mapping[str, float]]) -> Recorded:
    """The first and the last update before each report, with their rate: it changes at reports only, but in the warmup,
    where only the last is known. Joined by lines, these are the rates of all updates."""
    at, rates, since = [0], [schedule.lr(0)], 0
    held = ceil(schedule.warmup_steps)
    for step, value in zip(steps, values, strict=True):
        if "lr" in value:
            fresh = [update for update in sorted({max(since, held), step - 1}) if at[-1] < update < step]
            at += fresh
            rates += [value["lr"]] * len(fresh)
            since = step
    return Recorded(max(since, 1), np.array(at, dtype=np.int64), np.array(rates, dtype=np.float64))


def _turns(used: Recorded, points: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where the rate bends: in between it is a straight line; every k-th of these where there are too many."""
    if used.steps.size < 3:
        return np.arange(used.steps.size)
    slope = np.diff(used.rates) / np.diff(used.steps)
    bends = np.flatnonzero(np.diff(slope) != 0.0) + 1
    stride = max(1, -(-bends.size // max(1, points - 2)))
    return np.concatenate([[0], bends[::stride], [used.steps.size - 1]])
