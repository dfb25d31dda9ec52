"""Snapshots of the engine `solo`: a job that continues from one is bit-equal to one that was never interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from lane_jobs import CPU, OPTIMIZERS, job
from torch import Tensor, nn
from torch.optim import Optimizer

from schedules.presets import REGISTRY
from worker.engine import (
    Checkpointed,
    Dropped,
    Event,
    Finished,
    Job,
    Lanes,
    OptimizerNumbers,
    Points,
    Snapshot,
    Solo,
    Started,
    Steering,
)
from worker.tasks import Classification, Model, Split, StepContext
from worker.tasks.digits import DIGITS
from worker.tasks.models import MLP

EPOCH, STEPS = 16, 40


class Noisy(Classification):
    """Makes its updates itself, with random numbers and a state of its own in the optimizer."""

    def step(self, model: nn.Module, optimizer: Optimizer, batch: Split, context: StepContext) -> Tensor:
        noisy = batch.inputs + 0.1 * torch.randn_like(batch.inputs)
        loss = self.loss(model(noisy), batch.targets, label_smoothing=context.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            before = optimizer.state[parameter].get("before", torch.zeros_like(parameter))
            optimizer.state[parameter]["before"] = parameter.grad.clone()
            parameter.grad += 0.5 * before
        optimizer.step()
        return loss


DROPPING = Classification(
    DIGITS, Model("dropping", lambda signature: nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10)))
)
NORMED = Classification(
    DIGITS, Model("normed", lambda signature: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)))
)
JOBS: dict[str, Job] = {
    **{name: job(optimizer=name, steps=STEPS, report_every=5) for name in OPTIMIZERS},
    "dropout": job(task=DROPPING, steps=STEPS, report_every=5),
    "batch norm": job(task=NORMED, steps=STEPS, report_every=5),
    "a step of its own": job(task=Noisy(DIGITS, MLP), steps=STEPS, report_every=5),
    "layer-wise rates": replace(
        job(steps=STEPS, report_every=5), optimizer=OptimizerNumbers(name="adamw", layer_decay=0.7)
    ),
    "plateau": replace(
        job(steps=None, epochs=4, report_every=5), schedule=REGISTRY["reduce_on_plateau"].build(lr=0.5, patience=0)
    ),
}


def train(given: Job, steering: Steering | None = None, **options: Any) -> list[Event]:
    return list(Solo(CPU, **options).run([given], steering or Steering()))


@cache
def whole(name: str) -> tuple[list[Event], dict[int, Snapshot]]:
    """All events of the job, and the snapshots it made: one before each update but the first two."""
    events = train(JOBS[name], Steering(checkpoint_every_s=1e-9))
    saved = {event.step: event.snapshot for event in events if isinstance(event, Checkpointed)}
    return [event for event in events if not isinstance(event, Checkpointed)], saved


def told(events: list[Event], after: int = 0) -> list[object]:
    """The points behind `after`, and the final metrics."""
    points: list[object] = [event for event in events if isinstance(event, Points) and event.step > after]
    assert isinstance(events[-1], Finished), events[-1]
    return [*points, events[-1].metrics]


@pytest.mark.parametrize("name", JOBS)
def test_snapshots_change_nothing_and_a_job_continues_from_any_bit_for_bit(name: str) -> None:
    events, saved = whole(name)
    assert told(train(JOBS[name])) == told(events)
    for step in (2, 7, EPOCH, EPOCH + 5, max(saved)):
        resumed = train(replace(JOBS[name], resume=saved[step]))
        assert isinstance(resumed[0], Started)
        assert (resumed[0].resumed_from, told(resumed)) == (step, told(events, after=step))


def test_a_task_with_a_step_of_its_own_is_trained_by_solo_whatever_the_engine() -> None:
    given = JOBS["a step of its own"]
    events = list(Lanes(CPU, lanes=4).run([given], Steering()))
    assert isinstance(events[0], Started)
    assert (events[0].engine, told(events)) == ("solo", told(whole("a step of its own")[0]))


def test_a_snapshot_of_a_resumed_job_is_that_of_the_undisturbed_one() -> None:
    _, saved = whole("adamw")
    again = train(replace(JOBS["adamw"], resume=saved[7]), Steering(checkpoint_every_s=1e-9))
    (other,) = (event.snapshot for event in again if isinstance(event, Checkpointed) and event.step == 30)
    assert other.counters == saved[30].counters
    assert all(torch.equal(value, other.tensors[name]) for name, value in saved[30].tensors.items())


def test_a_worker_told_to_stop_keeps_what_every_job_has_reached() -> None:
    steering = Steering(checkpoint_every_s=3600)
    events: list[Event] = []
    for event in Solo(CPU).run([JOBS["sgd"]], steering):
        events.append(event)
        if isinstance(event, Points) and event.step == 20:
            steering.drop_all()
    *_, kept, last = events
    assert isinstance(kept, Checkpointed)
    assert isinstance(last, Dropped)
    assert told(train(replace(JOBS["sgd"], resume=kept.snapshot))) == told(whole("sgd")[0], after=20)


def test_a_job_that_is_dropped_alone_or_asks_for_no_checkpoints_makes_none() -> None:
    for steering, drop in ((Steering(checkpoint_every_s=3600), "drop"), (Steering(), "drop_all")):
        events: list[Event] = []
        for event in Solo(CPU).run([JOBS["sgd"]], steering):
            events.append(event)
            if isinstance(event, Points):
                steering.drop(event.job) if drop == "drop" else steering.drop_all()
        assert not any(isinstance(event, Checkpointed) for event in events)


WEIGHT = "model.1.weight"
ALTERED: dict[str, Callable[[Snapshot], Snapshot]] = {
    "the engine was lanes": lambda saved: replace(saved, engine="lanes"),
    "the engine's version was 0": lambda saved: replace(saved, version=0),
    "the device was cuda": lambda saved: replace(saved, device="cuda"),
    "1.weight was [3]": lambda saved: replace(saved, tensors={**saved.tensors, WEIGHT: torch.zeros(3)}),
    "other tensors than the model has: more": lambda saved: replace(
        saved, tensors={**saved.tensors, "model.more": torch.zeros(1)}
    ),
    "the optimizer's 0.momentum_buffer has the shape [3]": lambda saved: replace(
        saved, tensors={**saved.tensors, "optimizer.0.momentum_buffer": torch.zeros(3)}
    ),
    "after 40 of 40 updates": lambda saved: replace(saved, step=40),
    "its counter count should be a number": lambda saved: replace(saved, counters={}),
}


@pytest.mark.parametrize("reason", ALTERED)
def test_a_snapshot_that_does_not_fit_is_refused_with_the_reason_and_the_job_trained_anew(
    reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    events, saved = whole("sgd")
    resumed = train(replace(JOBS["sgd"], resume=ALTERED[reason](saved[20])))
    assert told(resumed) == told(events)
    assert reason in caplog.text


@pytest.mark.parametrize("change", [lambda given: replace(given, seed=5), lambda given: replace(given, batch_size=32)])
def test_a_snapshot_of_another_job_is_refused(change: Callable[[Job], Job]) -> None:
    other = change(JOBS["sgd"])
    resumed = train(replace(other, resume=whole("sgd")[1][20]))
    assert told(resumed) == told(train(other))
