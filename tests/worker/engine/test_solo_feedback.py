"""The engine `solo` under schedules that answer to a metric, against a loop by hand with torch's own scheduler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from schedules import Feedback, Greedy, ReduceOnPlateau, Span, Warmup
from worker.engine import Failed, Finished, Job, Points, Solo, Steering
from worker.engine.plan import WEIGHTS, PlanError, derived_seed, epoch_order, make_plan
from worker.tasks import Split, assemble, resident

CPU = torch.device("cpu")
DIGITS = assemble().task("digits/mlp")
EPOCHS = 10
BITES = ReduceOnPlateau(lr=1.0, factor=0.5, patience=0, threshold=0.05, cooldown=1)


def job(schedule: Feedback = BITES, **changes: Any) -> Job:
    return Job(**({"id": 7, "task": DIGITS, "schedule": schedule, "epochs": EPOCHS, "report_every": 1} | changes))


def train(given: Job) -> list[Any]:
    return list(Solo(CPU).run([given], Steering()))


def reported(events: list[Any], name: str) -> list[float]:
    return [event.values[name] for event in events if isinstance(event, Points) and name in event.values]


@torch.no_grad()
def validation_loss(model: torch.nn.Module, part: Split) -> float:
    model.eval()
    loss = functional.cross_entropy(model(part.inputs), part.targets).item()
    model.train()
    return loss


def by_hand(given: Job) -> tuple[list[float], list[float], list[float]]:
    """Losses, rates and validation losses of a loop as anybody would write it around torch's scheduler."""
    data = resident(given.task, CPU)
    torch.manual_seed(derived_seed(given.seed, WEIGHTS))
    model = given.task.model()
    optimizer = SGD(model.parameters(), BITES.lr, momentum=0.9)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.05, threshold_mode="rel", cooldown=1)
    losses, rates, validated = [], [], []
    for epoch in range(EPOCHS):
        for rows in epoch_order(given.seed, epoch, len(data.train)).split(given.batch_size):
            if len(rows) == given.batch_size:
                loss = functional.cross_entropy(model(data.train.inputs[rows]), data.train.targets[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                rates.append(optimizer.param_groups[0]["lr"])
        validated.append(validation_loss(model, data.validation))
        scheduler.step(validated[-1])
    return losses, rates, validated


def test_reduce_on_plateau_gives_the_curves_of_torchs_own_scheduler() -> None:
    events = train(job())
    losses, rates, validated = by_hand(job())
    assert reported(events, "lr") == pytest.approx(rates, rel=1e-12)
    assert reported(events, "train_loss") == pytest.approx(losses, rel=1e-5)
    assert reported(events, "val_loss") == pytest.approx(validated, rel=1e-5)
    assert len(set(rates)) > 2


@pytest.mark.parametrize("schedule", [BITES, Greedy(lr=0.2, patience=0, factor=0.5, window=2)])
def test_the_same_job_is_told_the_same_rates_twice_however_often_it_reports(schedule: Feedback) -> None:
    often, again, seldom = (train(job(schedule, report_every=every)) for every in (1, 1, 16))
    assert often[:-1] == again[:-1]
    assert reported(often, "lr")[15::16] == reported(seldom, "lr")
    assert often[-1].metrics["val_loss"] == seldom[-1].metrics["val_loss"]


def test_the_rate_rises_through_the_warmup_and_is_reported_as_it_was_used() -> None:
    warm = ReduceOnPlateau(lr=0.1, patience=0, threshold=0.9, warmup=Warmup(span=Span(32, "steps")))
    rates = reported(train(job(warm, epochs=4)), "lr")
    assert rates[:32] == pytest.approx([0.1 * step / 32 for step in range(32)])
    assert rates[32:] == pytest.approx([0.01] * 16 + [0.001] * 16)


def test_the_rate_comes_with_the_points_and_is_no_final_metric() -> None:
    last = train(job(epochs=1))[-1]
    assert isinstance(last, Finished)
    assert "lr" not in last.metrics


def test_a_schedule_that_wants_a_metric_to_rise_is_refused_in_words() -> None:
    (only,) = train(job(ReduceOnPlateau(lr=0.1, mode="max")))
    assert only == Failed(7, "schedule.mode: need min, as val_loss is observed, got max", only.device_seconds)


def test_an_engine_that_needs_the_rates_beforehand_can_tell_which_jobs_have_none() -> None:
    assert job().needs_metric
    with pytest.raises(PlanError, match="need one that is known before training"):
        make_plan(job(), examples=640)
