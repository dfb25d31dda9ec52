"""SwitchbackLR on real optimizers: what each update uses, resuming, composition, agreement with torch's own."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.optim import SGD, Adagrad, AdamW, Optimizer, RMSprop, lr_scheduler

from schedules import Schedule, ScheduleError
from schedules.feedback import ReduceOnPlateau
from schedules.presets import REGISTRY
from schedules.torch import SwitchbackLR

COSINE = REGISTRY["cosine"].build(lr=0.1)
ONECYCLE = REGISTRY["onecycle"].build(lr=0.1)
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": lambda parameters: SGD(parameters, lr=0.5, momentum=0.9, nesterov=True),
    "adamw": lambda parameters: AdamW(parameters, lr=0.5, betas=(0.8, 0.99)),
    "rmsprop": lambda parameters: RMSprop(parameters, lr=0.5),
}


def weights(count: int = 1) -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.full((3,), 1.0 + index, dtype=torch.float64)) for index in range(count)]


def used(optimizer: Optimizer, scheduler: object, updates: int, key: str = "lr", group: int = 0) -> list[float]:
    """What `group[key]` is at each update, the scheduler stepped after it."""
    seen = []
    for _ in range(updates):
        value = optimizer.param_groups[group][key]
        seen.append(float(value[0] if key == "betas" else value))
        for parameter in (p for g in optimizer.param_groups for p in g["params"]):
            parameter.grad = parameter.detach().clone()
        optimizer.step()
        scheduler.step()  # type: ignore[attr-defined]
    return seen


@pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_update_uses_the_rate_of_its_step(name: str, build: Callable[..., Optimizer]) -> None:
    schedule = REGISTRY[name].build(lr=0.1)
    if schedule.needs_metric:
        pytest.skip("has no rate before it is told a metric")
    optimizer, bound = build(weights()), schedule.bind(40, 10)
    rates = used(optimizer, SwitchbackLR(optimizer, bound), 40)
    np.testing.assert_array_equal(rates, bound.lr(np.arange(40)))


@pytest.mark.parametrize(("optimizer", "key"), [("sgd", "momentum"), ("adamw", "betas"), ("rmsprop", "momentum")])
def test_a_one_cycle_drives_momentum_or_beta1(optimizer: str, key: str) -> None:
    built, bound = OPTIMIZERS[optimizer](weights()), ONECYCLE.bind(30)
    momenta = used(built, SwitchbackLR(built, bound), 30, key)
    np.testing.assert_array_equal(momenta, bound.momentum(np.arange(30)))
    assert built.param_groups[0].get("betas", (0, 0.99))[1] == 0.99


def test_momentum_stays_the_optimizers_own_when_asked() -> None:
    optimizer = OPTIMIZERS["adamw"](weights())
    assert set(used(optimizer, SwitchbackLR(optimizer, ONECYCLE, total_steps=9, momentum=False), 9, "betas")) == {0.8}


def test_an_optimizer_without_momentum_is_refused_by_name() -> None:
    with pytest.raises(ScheduleError, match=r"momentum=False .* got Adagrad"):
        SwitchbackLR(Adagrad(weights(), lr=0.1), ONECYCLE, total_steps=9)


@pytest.mark.parametrize(
    ("factors", "options", "expected"),
    [
        ([1.0, 0.25], ({"lr": 9.0}, {"lr": 9.0}), (0.1, 0.025)),
        ("groups", ({"lr": 0.02}, {"lr": 0.08}), (0.025, 0.1)),
        (None, ({}, {"lr_scale": 0.75}), (0.1, 0.075)),
    ],
)
def test_each_group_has_its_factor(
    factors: object, options: tuple[dict[str, float], ...], expected: tuple[float]
) -> None:
    groups = [{"params": [weight], **option} for weight, option in zip(weights(2), options, strict=True)]
    optimizer = SGD(groups, lr=0.1)
    scheduler = SwitchbackLR(optimizer, COSINE, total_steps=10, factors=factors)  # type: ignore[arg-type]
    assert scheduler.get_last_lr() == pytest.approx(expected)


@pytest.mark.parametrize("factors", [None, [1.0], [1.0, -1.0], [1.0, float("nan")]])
def test_factors_that_do_not_fit_the_groups_are_refused(factors: list[float] | None) -> None:
    first, second = weights(2)
    optimizer = SGD([{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.2}])
    with pytest.raises(ScheduleError, match=r"^factors: need"):
        SwitchbackLR(optimizer, COSINE, total_steps=10, factors=factors)


def test_a_group_added_later_follows_the_schedule_with_its_own_scale() -> None:
    first, second = weights(2)
    optimizer = SGD([first], lr=0.1)
    scheduler = SwitchbackLR(optimizer, COSINE, total_steps=10)
    used(optimizer, scheduler, 3)
    optimizer.add_param_group({"params": [second], "lr_scale": 0.5})
    used(optimizer, scheduler, 1)
    assert optimizer.param_groups[1]["lr"] == COSINE.bind(10).lr(4) * 0.5


def test_weight_decay_follows_its_own_schedule_and_spares_groups_without() -> None:
    first, second = weights(2)
    optimizer = AdamW([{"params": [first], "weight_decay": 0.3}, {"params": [second], "weight_decay": 0.0}], lr=0.1)
    decay = REGISTRY["linear"].build(lr=0.3)
    scheduler = SwitchbackLR(optimizer, COSINE, total_steps=10, weight_decay=decay)
    np.testing.assert_array_equal(used(optimizer, scheduler, 10, "weight_decay"), decay.bind(10).lr(np.arange(10)))
    assert optimizer.param_groups[1]["weight_decay"] == 0.0


def test_weight_decay_can_keep_its_proportion_to_the_rate() -> None:
    optimizer = AdamW(weights(), lr=0.1, weight_decay=0.3)
    scheduler = SwitchbackLR(optimizer, COSINE, total_steps=10, weight_decay="rate")
    expected = 3 * COSINE.bind(10).lr(np.arange(10))
    np.testing.assert_allclose(used(optimizer, scheduler, 10, "weight_decay"), expected, rtol=1e-12)


@pytest.mark.parametrize("stop", [0, 1, 17, 39])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resuming_gives_the_very_weights_of_a_run_that_never_stopped(optimizer: str, stop: int) -> None:
    whole, first, second = weights(), weights(), weights()
    run = OPTIMIZERS[optimizer](whole)
    used(run, SwitchbackLR(run, ONECYCLE, total_steps=40), 40)
    before = OPTIMIZERS[optimizer](first)
    scheduler = SwitchbackLR(before, ONECYCLE, total_steps=40)
    used(before, scheduler, stop)
    saved = io.BytesIO()
    torch.save({"weight": first[0], "optimizer": before.state_dict(), "scheduler": scheduler.state_dict()}, saved)
    checkpoint = torch.load(io.BytesIO(saved.getvalue()), weights_only=True)
    second[0].data.copy_(checkpoint["weight"])
    after = OPTIMIZERS[optimizer](second)
    resumed = SwitchbackLR(after, ONECYCLE, total_steps=40)
    after.load_state_dict(checkpoint["optimizer"])
    resumed.load_state_dict(checkpoint["scheduler"])
    used(after, resumed, 40 - stop)
    assert torch.equal(whole[0], second[0])


def test_the_horizon_of_the_resumed_scheduler_wins() -> None:
    optimizer = SGD(weights(), lr=0.1)
    scheduler = SwitchbackLR(optimizer, COSINE, total_steps=20)
    used(optimizer, scheduler, 12)
    saved, state = json.loads(json.dumps(scheduler.state_dict())), optimizer.state_dict()
    longer = SGD(weights(), lr=0.1)
    resumed = SwitchbackLR(longer, COSINE, total_steps=50)
    longer.load_state_dict(state)
    resumed.load_state_dict(saved)
    assert used(longer, resumed, 38) == list(COSINE.bind(50).lr(np.arange(12, 50)))


def test_last_epoch_continues_on_a_fresh_optimizer() -> None:
    optimizer = SGD(weights(), lr=0.1)
    scheduler = SwitchbackLR(optimizer, COSINE, total_steps=20, last_epoch=6)
    assert used(optimizer, scheduler, 13) == list(COSINE.bind(20).lr(np.arange(7, 20)))


@pytest.mark.parametrize("total_steps", [1, 2])
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_smallest_horizons_run_to_their_end_and_past_it(name: str, total_steps: int) -> None:
    optimizer = SGD(weights(), lr=0.1, momentum=0.9)
    try:
        bound = REGISTRY[name].build(lr=0.1).bind(total_steps, 1)
    except ScheduleError as error:
        pytest.skip(f"does not fit, and says so: {error}")
    assert np.isfinite(used(optimizer, SwitchbackLR(optimizer, bound), total_steps + 2)).all()


def test_a_schedule_that_ends_lets_the_loop_finish_and_refuses_another_update() -> None:
    optimizer = SGD(weights(), lr=0.1)
    scheduler = SwitchbackLR(optimizer, Schedule(lr=0.1, after="raise"), total_steps=5)
    used(optimizer, scheduler, 5)
    with pytest.raises(ScheduleError, match=r"^step: need step < total_steps = 5"):
        scheduler.step()


def test_a_long_run_crosses_blocks_of_steps_without_a_seam() -> None:
    optimizer, bound = SGD(weights(), lr=0.1), ONECYCLE.bind(2500)
    np.testing.assert_array_equal(used(optimizer, SwitchbackLR(optimizer, bound), 2500), bound.lr(np.arange(2500)))


def test_a_scheduler_is_pickled_whole_and_goes_on_where_it_was() -> None:
    optimizer = SGD(weights(), lr=0.1, momentum=0.9)
    scheduler = SwitchbackLR(optimizer, ONECYCLE, total_steps=20)
    used(optimizer, scheduler, 7)
    copied = pickle.loads(pickle.dumps(scheduler))
    assert copied.bound == scheduler.bound
    assert used(copied.optimizer, copied, 13) == list(ONECYCLE.bind(20).lr(np.arange(7, 20)))


THEIRS: dict[str, tuple[object, Callable[[Optimizer], lr_scheduler.LRScheduler]]] = {
    "cosine": (COSINE, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)),
    "onecycle": (ONECYCLE, lambda optimizer: lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=50)),
    "polynomial": (
        REGISTRY["polynomial"].build(lr=0.1, power=2.0),
        lambda optimizer: lr_scheduler.PolynomialLR(optimizer, total_iters=50, power=2.0),
    ),
    "linear": (
        REGISTRY["linear"].build(lr=0.1),
        lambda optimizer: lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=50),
    ),
}


@pytest.mark.parametrize(("schedule", "build"), THEIRS.values(), ids=THEIRS)
@pytest.mark.parametrize("key", ["lr", "momentum"])
def test_stepping_agrees_with_torchs_own_scheduler(
    schedule: object, build: Callable[[Optimizer], object], key: str
) -> None:
    ours, theirs = (SGD(weights(), lr=0.1, momentum=0.95) for _ in range(2))
    scheduler = SwitchbackLR(ours, schedule, total_steps=50)  # type: ignore[arg-type]
    expected = used(theirs, build(theirs), 50, key)
    np.testing.assert_allclose(used(ours, scheduler, 50, key), expected, rtol=1e-9, atol=1e-14)


def composite(optimizer: Optimizer, total_steps: int = 20) -> lr_scheduler.SequentialLR:
    warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=5)
    main = SwitchbackLR(optimizer, COSINE, total_steps=total_steps)
    tail = SwitchbackLR(optimizer, REGISTRY["constant"].build(lr=0.003), total_steps=total_steps)
    return lr_scheduler.SequentialLR(optimizer, [warmup, main, tail], milestones=[5, 25])


def test_it_is_one_part_of_a_sequence_and_counts_from_its_own_start() -> None:
    optimizer = SGD(weights(), lr=0.1)
    rates = used(optimizer, composite(optimizer), 30)
    np.testing.assert_allclose(rates[:5], 0.1 * (0.5 + np.arange(5) / 10))
    np.testing.assert_array_equal(rates[5:], [*COSINE.bind(20).lr(np.arange(20)), *[0.003] * 5])


@pytest.mark.parametrize("stop", [3, 5, 14, 27])
def test_a_sequence_resumes_where_it_was(stop: int) -> None:
    whole, before, after = (SGD(weights(), lr=0.1) for _ in range(3))
    expected = used(whole, composite(whole), 30)
    first = composite(before)
    used(before, first, stop)
    second = composite(after)
    after.load_state_dict(before.state_dict())
    second.load_state_dict(first.state_dict())
    assert used(after, second, 30 - stop) == expected[stop:]


def test_a_rate_kept_as_a_tensor_is_written_in_place() -> None:
    rate = torch.tensor(0.5)
    optimizer = AdamW(weights(), lr=rate, capturable=False, foreach=False)
    used(optimizer, SwitchbackLR(optimizer, COSINE, total_steps=10), 5)
    assert optimizer.param_groups[0]["lr"].item() == pytest.approx(COSINE.bind(10).lr(5))


def test_a_feedback_schedule_is_told_its_metric_and_resumes() -> None:
    optimizer = SGD(weights(), lr=0.1)
    scheduler = SwitchbackLR(optimizer, ReduceOnPlateau(lr=0.1, factor=0.5, patience=0), total_steps=20)
    for metric in (1.0, 2.0):
        used(optimizer, scheduler, 5)
        scheduler.observe(metric)
    resumed = SwitchbackLR(optimizer, ReduceOnPlateau(lr=0.1, factor=0.5, patience=0), total_steps=20)
    resumed.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    resumed.observe(2.0)
    assert used(optimizer, resumed, 2) == [0.025, 0.025]


@pytest.mark.parametrize(
    ("options", "match"),
    [({}, "^total_steps: need"), ({"total_steps": 10, "weight_decay": "rate"}, "^weight_decay: need")],
)
def test_what_is_missing_is_named(options: dict[str, object], match: str) -> None:
    class Plain(SGD):
        def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
            super().__init__(parameters, lr=0.1)
            del self.param_groups[0]["weight_decay"]

    with pytest.raises(ScheduleError, match=match):
        SwitchbackLR(Plain(weights()), COSINE, **options)  # type: ignore[arg-type]


def test_a_horizon_that_contradicts_the_bound_schedule_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"^total_steps: need the 10 steps .* got 11"):
        SwitchbackLR(SGD(weights(), lr=0.1), COSINE.bind(10), total_steps=11)
