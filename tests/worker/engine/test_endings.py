"""How trials end before their time: divergence, errors, drops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from schedules.presets import REGISTRY
from worker.engine import Diverged, Dropped, Failed, Finished, Job, OptimizerNumbers, Points, Solo, Steering
from worker.tasks import Data, Task, assemble

DIGITS = assemble().task("digits/mlp")


class Faulty:
    """The digits task with a fault in its training loss after three batches; `watch` hears of each batch."""

    key = "digits/faulty"

    def __init__(self, kind: str, watch: Callable[[int], None] = lambda batch: None) -> None:
        self.kind, self.watch, self.batches = kind, watch, 0

    def data(self) -> Data:
        return DIGITS.data()

    def model(self) -> nn.Module:
        return DIGITS.model()

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return DIGITS.metrics(outputs, targets)

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        self.batches += 1
        self.watch(self.batches)
        loss = DIGITS.loss(outputs, targets, label_smoothing=label_smoothing)
        if self.batches <= 3:
            return loss
        if self.kind == "raises":
            raise KeyError("no such layer")
        return loss * {"nan": torch.nan, "infinite": torch.inf, "explodes": 2e4}[self.kind]


def job(identity: int = 1, task: Task = DIGITS, **changes: Any) -> Job:
    given: dict[str, Any] = {"schedule": REGISTRY["constant"].build(lr=0.01), "steps": 20, "report_every": 1}
    return Job(id=identity, task=task, **(given | changes))


def train(*jobs: Job, steering: Steering | None = None) -> list[Any]:
    return list(Solo(torch.device("cpu")).run(jobs, steering or Steering()))


@pytest.mark.parametrize(("kind", "said"), [("nan", "nan"), ("infinite", "inf"), ("explodes", "above the limit")])
def test_a_loss_that_is_no_number_or_explodes_ends_the_trial_at_the_next_point(kind: str, said: str) -> None:
    last = train(job(task=Faulty(kind)))[-1]
    assert isinstance(last, Diverged)
    assert (last.step, said in last.reason) == (4, True)


def test_a_rate_far_too_high_diverges_and_all_points_stay_finite() -> None:
    events = train(job(schedule=REGISTRY["constant"].build(lr=1e6), steps=200))
    assert isinstance(events[-1], Diverged)
    assert all(math.isfinite(value) for event in events if isinstance(event, Points) for value in event.values.values())


def test_parameters_that_overflow_behind_a_finite_loss_are_divergence() -> None:
    numbers = OptimizerNumbers(momentum=0.0, weight_decay=1e30)
    last = train(job(steps=1, optimizer=numbers, schedule=REGISTRY["constant"].build(lr=1e10)))[-1]
    assert isinstance(last, Diverged)
    assert last.step == 1


def test_a_hot_trial_that_recovers_is_not_called_diverged() -> None:
    events = train(job(schedule=REGISTRY["cosine"].build(lr=1.5), steps=64))
    peak = max(event.values["train_loss"] for event in events if isinstance(event, Points))
    assert isinstance(events[-1], Finished)
    assert peak > 2 * events[-1].metrics["train_loss"]


def test_what_the_task_raises_fails_the_trial_with_the_end_of_the_traceback() -> None:
    last = train(job(task=Faulty("raises")))[-1]
    assert isinstance(last, Failed)
    assert last.error.startswith("KeyError: 'no such layer'")
    assert 'raise KeyError("no such layer")' in last.error


def test_a_schedule_that_does_not_fit_fails_naming_argument_rule_and_value() -> None:
    (only,) = train(job(schedule=REGISTRY["cosine"].build(lr=0.1, warmup="50 steps")))
    assert isinstance(only, Failed)
    assert only.error.startswith("the schedule does not fit the trial: warmup")
    assert "50 of 20 steps" in only.error or "50" in only.error


def test_a_batch_larger_than_the_training_set_fails_naming_both() -> None:
    (only,) = train(job(batch_size=2000))
    assert only.error == "batch_size: need at most the 1078 training examples of digits/mlp, got 2000"


def test_numbers_that_torch_refuses_fail_the_trial_with_torchs_own_words() -> None:
    (only,) = train(job(optimizer=OptimizerNumbers(momentum=0.0, nesterov=True)))
    assert "Nesterov momentum requires a momentum" in only.error


def test_a_trial_that_fails_leaves_the_next_one_alone() -> None:
    events = train(job(1, batch_size=2000), job(2))
    assert isinstance(events[-1], Finished)
    assert events[-1].metrics == train(job(2))[-1].metrics


def test_a_dropped_trial_makes_no_further_update() -> None:
    steering = Steering()
    events: list[Any] = []
    for event in Solo(torch.device("cpu")).run([job(1), job(2)], steering):
        events.append(event)
        if isinstance(event, Points) and event == Points(1, 5, event.values):
            steering.drop(1)
    assert [event.step for event in events if isinstance(event, Dropped)] == [5]
    assert isinstance(events[-1], Finished)


def test_a_drop_from_within_an_update_stops_before_the_next_one_without_waiting_for_a_point() -> None:
    steering = Steering()
    task = Faulty("raises", watch=lambda batch: steering.drop(1) if batch == 2 else None)
    last = train(job(task=task, report_every=20), steering=steering)[-1]
    assert isinstance(last, Dropped)
    assert last.step == 2


def test_drop_all_ends_the_run_and_says_so_of_every_job() -> None:
    steering = Steering()
    steering.drop_all()
    assert train(job(1), job(2), steering=steering) == [Dropped(1, 0, 0.0), Dropped(2, 0, 0.0)]


def test_jobs_are_taken_as_there_is_room() -> None:
    taken: list[int] = []

    def refill() -> Iterator[Job]:
        for identity in (1, 2):
            taken.append(identity)
            yield job(identity, steps=2)

    events = Solo(torch.device("cpu")).run(refill(), Steering())
    next(events)
    assert taken == [1]
    assert [event.job for event in events if isinstance(event, Finished)] == [1, 2]
