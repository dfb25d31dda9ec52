"""The engine `solo` against loops written by hand with torch's own optimizers and schedulers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR

from schedules.presets import REGISTRY
from worker.engine import Finished, Job, OptimizerNumbers, Points, Solo, Started, Steering
from worker.engine.plan import WEIGHTS, derived_seed, epoch_order
from worker.tasks import Classification, Model, assemble, resident
from worker.tasks.digits import DIGITS

CPU = torch.device("cpu")
TASKS = assemble()
STEPS = 40

OPTIMIZERS: dict[str, tuple[OptimizerNumbers, Callable[[Any], Optimizer]]] = {
    "sgd": (OptimizerNumbers(momentum=0.8, weight_decay=1e-3), lambda p: SGD(p, 0.1, momentum=0.8, weight_decay=1e-3)),
    "nesterov": (OptimizerNumbers(nesterov=True), lambda p: SGD(p, 0.1, momentum=0.9, nesterov=True)),
    "plain": (OptimizerNumbers(momentum=0.0), lambda p: SGD(p, 0.1)),
    "adam": (
        OptimizerNumbers(name="adam", momentum=0.8, beta2=0.99, eps=1e-6, weight_decay=0.1),
        lambda p: Adam(p, 0.1, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
    ),
    "adamw": (OptimizerNumbers(name="adamw", weight_decay=0.1), lambda p: AdamW(p, 0.1, weight_decay=0.1)),
    "rmsprop": (
        OptimizerNumbers(name="rmsprop", momentum=0.5, alpha=0.9),
        lambda p: RMSprop(p, 0.1, alpha=0.9, momentum=0.5),
    ),
}


def job(**changes: Any) -> Job:
    given: dict[str, Any] = {"id": 7, "task": TASKS.task("digits/mlp"), "steps": STEPS, "report_every": 1}
    return Job(**({"schedule": REGISTRY["cosine"].build(lr=0.1)} | given | changes))


def train(given: Job, dtype: torch.dtype | None = None) -> list[Any]:
    return list(Solo(CPU, dtype=dtype).run([given], Steering()))


def losses(events: list[Any]) -> list[float]:
    return [event.values["train_loss"] for event in events if isinstance(event, Points)]


def by_hand(
    given: Job,
    optimizer: Callable[[Any], Optimizer],
    scheduler: Callable[[Optimizer], LRScheduler],
    dtype: torch.dtype | None = None,
) -> tuple[list[float], nn.Module]:
    """The losses of a loop as anybody would write it."""
    data = resident(given.task, CPU, dtype)
    torch.manual_seed(derived_seed(given.seed, WEIGHTS))
    model = given.task.model().to(dtype)
    steps = optimizer(model.parameters())
    rates = scheduler(steps)
    found: list[float] = []
    per_epoch = len(data.train) // given.batch_size
    for step in range(STEPS):
        epoch, at = divmod(step, per_epoch)
        rows = epoch_order(given.seed, epoch, len(data.train))[at * given.batch_size :][: given.batch_size]
        loss = functional.cross_entropy(
            model(data.train.inputs[rows]), data.train.targets[rows], label_smoothing=given.label_smoothing
        )
        steps.zero_grad()
        loss.backward()
        steps.step()
        rates.step()
        found.append(loss.item())
    return found, model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_gives_the_losses_of_torchs_own_loop_under_cosine_annealing(name: str) -> None:
    numbers, optimizer = OPTIMIZERS[name]
    given = job(optimizer=numbers)
    expected, _ = by_hand(given, optimizer, lambda steps: CosineAnnealingLR(steps, T_max=STEPS))
    assert losses(train(given)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_at_a_constant_rate_the_losses_are_bit_equal_to_a_loop_by_hand(name: str) -> None:
    numbers, optimizer = OPTIMIZERS[name]
    given = job(optimizer=numbers, schedule=REGISTRY["constant"].build(lr=0.1))
    expected, _ = by_hand(given, optimizer, lambda steps: LambdaLR(steps, lambda step: 1.0))
    assert losses(train(given)) == expected


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_one_cycle_moves_rate_and_momentum_as_torchs_own(name: str) -> None:
    numbers, optimizer = OPTIMIZERS[name]
    given = job(optimizer=numbers, schedule=REGISTRY["onecycle"].build(lr=0.1))
    expected, _ = by_hand(given, optimizer, lambda steps: OneCycleLR(steps, 0.1, total_steps=STEPS))
    assert losses(train(given)) == pytest.approx(expected, rel=1e-6)


def test_the_cnn_with_label_smoothing_equals_a_loop_by_hand_to_the_last_metric() -> None:
    # In float64: solo's convolutions read channels_last, which rounds otherwise.
    exact, given = torch.float64, job(task=TASKS.task("digits/cnn"), label_smoothing=0.1)
    optimizer = OPTIMIZERS["nesterov"][1]
    expected, model = by_hand(given, optimizer, lambda steps: CosineAnnealingLR(steps, T_max=STEPS), exact)
    events = train(job(task=given.task, label_smoothing=0.1, optimizer=OPTIMIZERS["nesterov"][0]), exact)
    assert losses(events) == pytest.approx(expected, rel=1e-10)
    test, scores = resident(given.task, CPU, exact).test, model.eval()
    accuracy = (scores(test.inputs).argmax(1) == test.targets).double().mean().item()
    assert events[-1].metrics["test_accuracy"] == pytest.approx(accuracy)


def test_the_same_job_gives_bit_equal_events_twice() -> None:
    first, second = (train(job(task=TASKS.task("digits/cnn"), seed=3)) for _ in range(2))
    assert first[:-1] == second[:-1]
    assert first[-1].metrics == second[-1].metrics


def test_a_curve_does_not_depend_on_what_was_drawn_before_nor_change_what_is_drawn_after() -> None:
    torch.manual_seed(5)
    expected_next, first = torch.rand(3), None
    torch.manual_seed(5)
    first = losses(train(job()))
    assert torch.equal(torch.rand(3), expected_next)
    assert losses(train(job())) == first


def test_seeds_differ_in_weights_and_in_the_order_of_the_data() -> None:
    assert losses(train(job(seed=0)))[0] != losses(train(job(seed=1)))[0]
    assert not torch.equal(epoch_order(0, 0, 100), epoch_order(1, 0, 100))


def test_a_trial_starts_with_its_horizon_and_ends_with_validation_and_test_metrics() -> None:
    events = train(job(epochs=2, steps=None, report_every=0))
    assert events[0] == Started(7, total_steps=32, steps_per_epoch=16, engine="solo")
    assert isinstance(events[-1], Finished)
    assert set(events[-1].metrics) == {"train_loss", "val_loss", "val_accuracy", "test_loss", "test_accuracy"}


def test_validation_is_measured_after_every_epoch_and_at_the_end() -> None:
    points = [event for event in train(job(report_every=10)) if isinstance(event, Points)]
    assert [point.step for point in points] == [10, 16, 20, 30, 32, 40]
    assert [point.step for point in points if "val_loss" in point.values] == [16, 32, 40]


def test_how_often_is_reported_does_not_change_the_training_of_a_model_that_draws_random_numbers() -> None:
    dropping = Model("dropping", lambda signature: nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 10)))
    task = Classification(DIGITS, dropping)
    often, seldom = train(job(task=task, report_every=1)), train(job(task=task, report_every=7))
    assert often[-1].metrics["val_loss"] == seldom[-1].metrics["val_loss"]


def test_ten_epochs_teach_the_digits() -> None:
    metrics = train(job(steps=None, epochs=10, report_every=0))[-1].metrics
    assert metrics["test_accuracy"] > 0.94
    assert metrics["val_loss"] < 0.25


def test_device_seconds_leave_out_the_time_the_caller_takes() -> None:
    events = []
    start = time.perf_counter()
    for event in Solo(CPU).run([job(report_every=20)], Steering()):
        events.append(event)
        time.sleep(0.05)
    assert 0 < events[-1].device_seconds < time.perf_counter() - start - 0.05 * (len(events) - 1)
