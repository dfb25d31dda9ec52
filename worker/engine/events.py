"""What an engine says while it trains.

Of each job: first `Started`, then `Points` and `Checkpointed` in order of step, then exactly one of `Finished`,
`Diverged`, `Failed` and `Dropped`. A job that never starts has `Failed` or `Dropped` alone. Events of different jobs
may interleave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from worker.engine.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Started:
    """The job's horizon is known, and which engine trains it; no update has been made.

    `resumed_from` is the step of the snapshot it continues from; None when it begins anew.
    """

    job: int
    total_steps: int
    steps_per_epoch: int
    engine: str
    resumed_from: int | None = None


@dataclass(frozen=True, slots=True)
class Points:
    """Values measured after `step` updates: `train_loss` is the mean since the last point; all values are finite.

    Of a job that `needs_metric` there is `lr` too, the rate of the last update made.
    """

    job: int
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """What a later job with this snapshot as `resume` continues from; all points up to its step have been said."""

    job: int
    step: int
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Finished:
    """The job ran its course. `device_seconds` is wall time spent on it, validation included."""

    job: int
    metrics: Mapping[str, float]
    steps_done: int
    device_seconds: float


@dataclass(frozen=True, slots=True)
class Diverged:
    """The job was stopped because training had blown up; a result, not an error."""

    job: int
    step: int
    reason: str
    device_seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The task or the configuration raised; `error` says what, with the last lines of the traceback."""

    job: int
    error: str
    device_seconds: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """The caller dropped the job before its end."""

    job: int
    step: int
    device_seconds: float


Event: TypeAlias = Started | Points | Checkpointed | Finished | Diverged | Failed | Dropped
"""Everything an engine can say."""
