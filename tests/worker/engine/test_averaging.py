"""Averages and ensembles of the engine `solo`, against torch's own AveragedModel and a loop written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD
from torch.optim.swa_utils import AveragedModel, get_swa_multi_avg_fn, update_bn

from schedules import Span
from schedules.presets import REGISTRY
from worker.engine import Checkpointed, Ema, Ensemble, Failed, Finished, Job, OptimizerNumbers, Solo, Steering, Swa
from worker.engine.averaging_plan import cycle_ends
from worker.engine.plan import WEIGHTS, derived_seed, epoch_order, make_plan
from worker.tasks import Classification, Model, Split, resident
from worker.tasks.digits import DIGITS

CPU = torch.device("cpu")
STEPS, SIZE, PER_EPOCH = 48, 64, 16
TASK = Classification(
    DIGITS, Model("normed", lambda signature: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)))
)
DATA = resident(TASK, CPU)


def job(*averaging: Any, **changes: Any) -> Job:
    given: dict[str, Any] = {"schedule": REGISTRY["sgdr"].build(lr=0.1, first="1 epochs", t_mult=1.0), "task": TASK}
    return Job(id=1, steps=STEPS, optimizer=OptimizerNumbers(momentum=0.0), averaging=averaging, **(given | changes))


def train(given: Job) -> dict[str, float]:
    last = list(Solo(CPU).run([given], Steering()))[-1]
    assert isinstance(last, Finished), last
    return dict(last.metrics)


def by_hand(given: Job, watch: Callable[[int, nn.Module], None]) -> None:
    """The training anybody would write, with the rates of the schedule."""
    rates = make_plan(given, len(DATA.train)).lr
    torch.manual_seed(derived_seed(given.seed, WEIGHTS))
    model = TASK.model()
    steps = SGD(model.parameters(), 0.1)
    for step in range(STEPS):
        epoch, at = divmod(step, PER_EPOCH)
        rows = epoch_order(given.seed, epoch, len(DATA.train))[at * SIZE : (at + 1) * SIZE]
        steps.param_groups[0]["lr"] = rates[step]
        steps.zero_grad()
        functional.cross_entropy(model(DATA.train.inputs[rows]), DATA.train.targets[rows]).backward()
        steps.step()
        watch(step + 1, model)


def scored(predict: Callable[[Tensor], Tensor], split: Split) -> tuple[float, float]:
    with torch.no_grad():
        outputs = predict(split.inputs)
        hits = (outputs.argmax(1) == split.targets).double().mean()
        return functional.cross_entropy(outputs, split.targets).item(), hits.item()


def refreshed(averaged: AveragedModel) -> AveragedModel:
    update_bn((DATA.train.inputs[start : start + SIZE] for start in range(0, PER_EPOCH * SIZE, SIZE)), averaged)
    return averaged.eval()


def said(metrics: dict[str, float], split: str, name: str) -> Any:
    return pytest.approx((metrics[f"{split}_loss_{name}"], metrics[f"{split}_accuracy_{name}"]), rel=1e-6)


@pytest.mark.parametrize(("start", "every", "looks"), [(0.5, "1 epochs", [32, 48]), (0.75, "5 steps", [40, 45])])
def test_swa_is_torchs_averaged_model_with_its_batch_norm_refreshed(start: float, every: str, looks: list[int]) -> None:
    given = job(Swa(start=Span(start - 1e-3), every=Span.parse(every)))
    averaged = AveragedModel(TASK.model(), multi_avg_fn=get_swa_multi_avg_fn())
    by_hand(given, lambda step, model: averaged.update_parameters(model) if step in looks else None)
    metrics = train(given)
    assert scored(refreshed(averaged), DATA.validation) == said(metrics, "val", "swa")
    assert scored(averaged, DATA.test) == said(metrics, "test", "swa")


def test_ema_is_torchs_averaged_model_under_the_corrected_weights() -> None:
    decay = 0.9

    def corrected(average: Tensor, current: Tensor, seen: Tensor | int) -> Tensor:
        return average + (current - average) * (1 - decay) / (1 - decay ** (int(seen) + 1))

    averaged = AveragedModel(TASK.model(), avg_fn=corrected)
    by_hand(job(), lambda step, model: averaged.update_parameters(model))
    assert scored(refreshed(averaged), DATA.test) == said(train(job(Ema(decay))), "test", "ema")


def test_ema_is_the_weighted_mean_that_adam_takes_of_gradients() -> None:
    given, decay, seen = job(Ema(0.8)), 0.8, []
    by_hand(given, lambda step, model: seen.append(deepcopy(model)))
    shares = torch.tensor([(1 - decay) * decay ** (STEPS - 1 - step) for step in range(STEPS)], dtype=torch.float64)
    mean = AveragedModel(seen[-1])
    for target, *each in zip(mean.module.parameters(), *(model.parameters() for model in seen), strict=True):
        stacked = torch.stack(each).double()
        target.data = (torch.tensordot(shares, stacked, 1) / (1 - decay**STEPS)).float()
    assert scored(refreshed(mean), DATA.test) == said(train(given), "test", "ema")


def test_an_ensemble_averages_the_probabilities_of_the_models_at_the_last_cycles_ends() -> None:
    members: list[nn.Module] = []
    by_hand(job(), lambda step, model: members.append(deepcopy(model).eval()) if step in (32, 48) else None)
    metrics = train(job(Ensemble(members=2)))
    mean = lambda inputs: torch.stack([model(inputs).softmax(1) for model in members]).mean(0).log()  # noqa: E731
    assert scored(mean, DATA.test) == said(metrics, "test", "ensemble")
    assert metrics["test_loss_ensemble"] != metrics["test_loss"]


def test_to_ask_for_averages_changes_nothing_else_and_a_resumed_job_has_the_same_ones() -> None:
    given = job(Swa(), Ema(), Ensemble(), report_every=10)
    plain, steering = train(job(report_every=10)), Steering(checkpoint_every_s=1e-9)
    events = list(Solo(CPU).run([given], steering))
    saved = {event.step: event.snapshot for event in events if isinstance(event, Checkpointed)}
    metrics = train(given)
    assert plain.items() <= metrics.items()
    for step in (8, 16, 33, 47):
        assert train(replace(given, resume=saved[step])) == metrics


@pytest.mark.parametrize(
    ("preset", "numbers", "ends"),
    [
        ("sgdr", {"first": "12 steps", "t_mult": 1.0}, [12, 24, 36, 48]),
        ("sgdr", {"first": "16 steps", "t_mult": 2.0}, [16, 48]),
        ("clr_triangular", {}, None),
        ("cosine", {"warmup": "8 steps"}, [48]),
        ("constant", {}, [48]),
    ],
)
def test_cycles_end_where_the_rate_is_lowest_before_it_rises(
    preset: str, numbers: dict[str, Any], ends: list[int] | None
) -> None:
    rates = make_plan(job(schedule=REGISTRY[preset].build(lr=0.1, **numbers)), len(DATA.train)).lr
    found = cycle_ends(rates)
    assert found == ends if ends else found[-1] == STEPS
    assert all(rates[end - 1] <= min(rates[end - 2], rates[end % STEPS]) for end in found[:-1])


class Alone:
    """A task whose models cannot be asked together."""

    key = "digits/alone"
    data, model, loss, metrics = TASK.data, TASK.model, TASK.loss, TASK.metrics


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (job(Swa(every=Span(0.0))), "averaging.swa.every: need at least 1 step, got 0%"),
        (job(Swa(start=Span(1.0))), "averaging.swa: need a multiple of every (1 epochs) behind start (100%), got none"),
        (job(Ensemble(), task=Alone()), "averaging.ensemble: need a task that has combined(outputs)"),
        (
            job(Ensemble(), schedule=REGISTRY["reduce_on_plateau"].build(lr=0.1)),
            "averaging.ensemble: need a schedule whose cycles are known",
        ),
    ],
)
def test_what_cannot_be_averaged_fails_the_job_with_the_rule(given: Job, said: str) -> None:
    last = list(Solo(CPU).run([given], Steering()))[-1]
    assert isinstance(last, Failed)
    assert last.error.startswith(said)


def test_impossible_numbers_are_refused_when_the_value_is_built() -> None:
    for build in (lambda: Ema(1.0), lambda: Ema(math.nan), lambda: Ensemble(0), lambda: job(Ema(), Ema(0.9))):
        with pytest.raises(ValueError, match="averaging"):
            build()
