"""The plain PyTorch written for schedules that answer to a metric, run and compared with the schedules."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from schedules import Feedback, Greedy, ReduceOnPlateau, Span, Warmup
from schedules.export import native_call, to_torch_source
from schedules.presets import REGISTRY
from schedules.profiles import Cosine

LOSSES = [3.0, 2.5, 2.5, 2.4, 2.6, math.nan, 2.41, 2.4, 1.0, 1.2, 1.2, math.inf, 1.1, 0.4, 0.5, 0.6] * 3
PER_EPOCH = 4
WARMUPS = {
    "none": None,
    "inside an epoch": Warmup(span=Span(5, "steps")),
    "to an epoch's end": Warmup(span=Span(3, "epochs")),
    "between two updates": Warmup(span=Span(0.0341)),
    "cosine from a tenth": Warmup(span=Span(9, "steps"), start=0.1, ramp=Cosine()),
}
SCHEDULES: dict[str, Feedback] = {
    "plateau": ReduceOnPlateau(lr=0.1, factor=0.5, patience=0),
    "patient plateau": ReduceOnPlateau(lr=0.3, factor=0.1, patience=2, cooldown=2, end=0.05, threshold=0.01),
    "absolute plateau": ReduceOnPlateau(lr=0.1, factor=0.5, patience=1, threshold=0.2, threshold_mode="abs"),
    "greedy": Greedy(lr=0.1, patience=0, factor=0.5),
    "calm greedy": Greedy(lr=0.1, patience=1, factor=0.7, cooldown=2, rest_after_raise=1, window=3, most=1.2),
    "greedy that starts again": Greedy(lr=0.1, patience=0, factor=0.5, end=0.3, reset_after=2, threshold_mode="rel"),
    "greedy on accuracy": Greedy(lr=0.1, patience=0, factor=0.5, mode="max", threshold_mode="torch_rel"),
}


def rates_of_the_source(source: str, losses: list[float]) -> list[float]:
    """The rate of every update of the loop that the module's docstring shows."""
    written: dict[str, Any] = {}
    exec(source, written)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=written["LR"])
    scheduler, step, rates = written["make_scheduler"](optimizer), 0, []
    for loss in losses:
        for _ in range(PER_EPOCH):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            step += 1
            if "warm_up" in written:
                written["warm_up"](optimizer, step)
        written["observe"](scheduler, loss, step)
    return rates


def rates_of_the_schedule(schedule: Feedback, losses: list[float]) -> list[float]:
    bound = schedule.bind(PER_EPOCH * len(losses), PER_EPOCH)
    rates: list[float] = []
    for epoch, loss in enumerate(losses, start=1):
        rates += [bound.lr(step) for step in range((epoch - 1) * PER_EPOCH, epoch * PER_EPOCH)]
        bound.observe(loss)
    return rates


@pytest.mark.parametrize("warmup", WARMUPS.values(), ids=WARMUPS)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_the_written_loop_uses_the_schedules_rates(schedule: Feedback, warmup: Warmup | None) -> None:
    schedule = replace(schedule, warmup=warmup)
    source = to_torch_source(schedule, total_steps=PER_EPOCH * len(LOSSES), steps_per_epoch=PER_EPOCH)
    expected = rates_of_the_schedule(schedule, LOSSES)
    assert rates_of_the_source(source, LOSSES) == pytest.approx(expected, rel=1e-12)
    assert len(set(expected)) > 2


def test_reduce_on_plateau_is_torchs_own_scheduler_and_greedy_needs_torch_alone() -> None:
    plateau, greedy = (
        to_torch_source(REGISTRY[name].build(lr=0.1), total_steps=100) for name in ("reduce_on_plateau", "greedy")
    )
    assert "torch.optim.lr_scheduler.ReduceLROnPlateau(" in plateau
    assert not any(f"import {name}" in plateau + greedy for name in ("schedules", "transformers"))


def test_the_libraries_own_calls_carry_the_same_numbers_and_what_is_known_to_differ() -> None:
    (plateau,) = native_call(ReduceOnPlateau(lr=0.1, end=0.01, patience=3), total_steps=100)
    (greedy,) = native_call(Greedy(lr=3e-4, window=5), total_steps=100)
    assert "patience=3" in plateau.call
    assert "min_lr=0.001" in plateau.call
    assert "window_size=5" in greedy.call
    assert "absolute" in (greedy.warning or "")


def test_no_library_has_a_warmup_in_front_of_a_metric() -> None:
    assert native_call(REGISTRY["reduce_on_plateau"].build(lr=0.1, warmup="5%"), total_steps=100) == ()


@pytest.mark.parametrize(
    "schedule",
    [
        ReduceOnPlateau(lr=0.3, factor=0.5, patience=1, cooldown=1, end=0.1),
        Greedy(lr=0.1, patience=0, factor=0.5, end=0.1),
        Greedy(lr=0.1, patience=1, factor=0.7, cooldown=2, rest_after_raise=1, window=3, most=1.2),
    ],
)
def test_a_librarys_own_call_gives_the_same_rates(schedule: Feedback) -> None:
    (call,) = native_call(schedule, total_steps=100)
    library = pytest.importorskip(f"{call.library}.optimization" if call.library == "transformers" else call.library)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=schedule.lr)
    root = __import__(library.__name__.partition(".")[0])
    scheduler, bound = eval(call.call, {call.library: root, "optimizer": optimizer}), schedule.bind(100)
    for metric in filter(math.isfinite, LOSSES):
        scheduler.step(metric)
        assert bound.observe(metric) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
