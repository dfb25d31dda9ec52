"""Jobs for the tests of engines: lanes that differ in rate, momentum and decay, and their events as plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from engine_models import MODELS, task_of

from schedules.presets import REGISTRY
from worker.engine import Dropped, Engine, Event, Finished, Job, Lanes, OptimizerNumbers, Points, Solo, Steering, Tree

CPU = torch.device("cpu")
STEPS = 60

ENGINES: dict[str, Callable[..., Engine]] = {
    "solo": Solo,
    "lanes": partial(Lanes, ways=("layers",)),
    "vmap": partial(Lanes, ways=("torch.func",)),
    "tree": partial(Tree, ways=("layers",)),
}
"""Every engine is compared with `solo` in `test_conformance_engines`."""

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "lr": 0.05},
    "nesterov": {"name": "sgd", "nesterov": True, "lr": 0.05},
    "adam": {"name": "adam", "lr": 0.003},
    "adamw": {"name": "adamw", "lr": 0.003},
    # Its update of a gradient of rounding noise is as large as any other, so at high rates noise grows without bound.
    "rmsprop": {"name": "rmsprop", "lr": 1e-4, "eps": 1e-3},
}


def job(
    lane: int = 0, *, model: str = "mlp", optimizer: str = "nesterov", schedule: str = "onecycle", **changes: Any
) -> Job:
    """Lane 0, 1, 2, ... of a study."""
    numbers = dict(OPTIMIZERS[optimizer])
    lr = numbers.pop("lr") * (1 + 0.05 * lane)
    given: dict[str, Any] = {
        "id": lane + 1,
        "task": task_of(model),
        "schedule": REGISTRY[schedule].build(lr=lr),
        "optimizer": OptimizerNumbers(momentum=0.8 + 0.005 * lane, weight_decay=1e-3 * lane, **numbers),
        "steps": STEPS,
        "batch_size": MODELS[model].batch_size,
        "label_smoothing": 0.1,
    }
    return Job(**(given | changes))


def at_rate(given: Job, lr: float) -> Job:
    return replace(given, schedule=REGISTRY["constant"].build(lr=lr))


Curve = list[tuple[int, dict[str, float]]]
"""Step and values of every point, then of the final metrics."""


def curves(events: Iterable[Event]) -> dict[int, Curve]:
    found: dict[int, Curve] = {}
    for event in events:
        if isinstance(event, Points):
            found.setdefault(event.job, []).append((event.step, dict(event.values)))
        if isinstance(event, Finished):
            found[event.job].append((event.steps_done, dict(event.metrics)))
    return found


def train(engine: Engine, *jobs: Job, drop: tuple[int, int] | None = None) -> list[Event]:
    """`drop`: a job, and the step at whose point it is dropped."""
    steering, events = Steering(), []
    for event in engine.run(jobs, steering):
        events.append(event)
        if isinstance(event, Points) and drop == (event.job, event.step):
            steering.drop(event.job)
    return events


def lanes(*jobs: Job, dtype: torch.dtype | None = None, **options: Any) -> dict[int, Curve]:
    return curves(train(Lanes(CPU, lanes=options.pop("lanes", 64), dtype=dtype), *jobs, **options))


@cache
def alone(given: Job, dtype: torch.dtype | None = None) -> Curve:
    """What solo says of this job."""
    return curves(train(Solo(CPU, dtype=dtype), given))[given.id]


def gap(one: Curve, other: Curve) -> float:
    """The largest difference of two curves with the same steps and metrics, relative to values above 1."""
    assert [(step, values.keys()) for step, values in one] == [(step, values.keys()) for step, values in other]
    pairs = [(left[1][name], right[1][name]) for left, right in zip(one, other, strict=True) for name in left[1]]
    return max(abs(left - right) / max(1.0, abs(left)) for left, right in pairs)


def dropped(events: Iterable[Event]) -> list[tuple[int, int]]:
    return [(event.job, event.step) for event in events if isinstance(event, Dropped)]
