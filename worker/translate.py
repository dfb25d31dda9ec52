"""Between the wire and the engines: trial specifications to jobs, what engines measured to messages."""

from __future__ import annotations

import math
from collections.abc import Mapping

from contract import tasks
from contract.leases import Completion, LeaseRef, Point
from contract.tasks import Optimizer
from contract.trials import TrialSpec
from schedules import Span
from worker.engine import (
    Augmentation,
    Averaging,
    Diverged,
    Ema,
    Ensemble,
    Finished,
    Job,
    OptimizerNumbers,
    Resizing,
    Swa,
)
from worker.tasks import Registry


def job(trial: TrialSpec, registry: Registry) -> Job:
    """Raises TaskError for a task that is not registered here."""
    return Job(
        id=trial.id,
        task=registry.task(trial.task.key),
        schedule=trial.schedule,
        optimizer=optimizer(trial.task.optimizer),
        batch_size=trial.task.batch_size,
        label_smoothing=trial.task.label_smoothing,
        dropout_masks=trial.task.dropout_masks,
        epochs=trial.budget.epochs,
        steps=trial.budget.steps,
        seed=trial.seed,
        report_every=trial.report_every,
        averaging=tuple(average(given) for given in trial.task.averaging),
        augmentation=augmentation(trial.task.augmentation),
        precision=trial.task.precision,
    )


def average(given: tasks.Averaging) -> Averaging:
    """What the engine averages."""
    match given:
        case tasks.Swa():
            return Swa(start=Span.parse(given.start), every=Span.parse(given.every))
        case tasks.Ema():
            return Ema(decay=given.decay)
        case tasks.Ensemble():
            return Ensemble(members=given.members)


def augmentation(given: tasks.Augmentation | None) -> Augmentation | None:
    """What the engine does to training images."""
    if given is None:
        return None
    growing, resizing = given.resizing, None
    if growing is not None:
        spans = {"start": Span.parse(growing.start), "end": Span.parse(growing.end)}
        resizing = Resizing(initial=growing.initial, multiple=growing.multiple, **spans)
    return Augmentation(crop=given.crop, flip=given.flip, cutout=given.cutout, resizing=resizing)


def optimizer(given: Optimizer) -> OptimizerNumbers:
    """The engine's numbers; those an optimizer does not have keep defaults that it does not read."""
    return OptimizerNumbers(**given.model_dump())


def point(step: int, values: Mapping[str, float]) -> Point:
    return Point(step=step, values=_finite(values))


def completed(lease: LeaseRef, event: Finished, engine: str) -> Completion:
    return Completion(
        lease=lease,
        outcome="complete",
        metrics=_finite(event.metrics),
        steps_done=event.steps_done,
        device_seconds=event.device_seconds,
        engine=engine,
    )


def diverged(lease: LeaseRef, event: Diverged, engine: str) -> Completion:
    """Without final metrics: the last points tell what they were."""
    return Completion(
        lease=lease,
        outcome="diverged",
        metrics={},
        steps_done=event.step,
        device_seconds=event.device_seconds,
        engine=engine,
        reason=event.reason[:2_000],
    )


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}
