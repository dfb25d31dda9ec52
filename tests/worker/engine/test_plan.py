"""What is fixed before a trial's first update: horizon, rate table, when to report, the order of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from schedules.presets import REGISTRY
from worker.engine import Job
from worker.engine.plan import derived_seed, epoch_order, make_plan
from worker.tasks import assemble

DIGITS = assemble().task("digits/mlp")


def job(**changes: Any) -> Job:
    return Job(**({"id": 1, "task": DIGITS, "schedule": REGISTRY["cosine"].build(lr=0.1), "steps": 30} | changes))


@pytest.mark.parametrize(("budget", "total"), [({"steps": 7}, 7), ({"steps": None, "epochs": 3}, 48)])
def test_the_horizon_counts_full_batches_only(budget: dict[str, int | None], total: int) -> None:
    plan = make_plan(job(**budget), examples=16 * 64 + 63)
    assert (plan.total_steps, plan.steps_per_epoch) == (total, 16)


@pytest.mark.parametrize("every", [1, 3, 16, 100])
@pytest.mark.parametrize("steps", [1, 16, 30, 33])
def test_it_reports_every_so_many_steps_at_each_epochs_end_and_at_the_last(every: int, steps: int) -> None:
    plan = make_plan(job(steps=steps, report_every=every), examples=640)
    wanted = [step for step in range(1, steps + 1) if step % every == 0 or step % 10 == 0 or step == steps]
    assert list(plan.stops()) == wanted


@pytest.mark.parametrize(("steps", "every"), [(10, 8), (800, 8), (10_000, 100), (10_001, 101)])
def test_left_open_a_trial_reports_at_most_a_hundred_times_and_no_closer_than_eight_steps(
    steps: int, every: int
) -> None:
    assert make_plan(job(steps=steps), examples=640).report_every == every


def test_the_rate_table_is_the_bound_schedule_in_float64() -> None:
    plan = make_plan(job(), examples=640)
    assert plan.lr.dtype == np.float64
    assert plan.lr.tolist() == [job().schedule.bind(30, 10).lr(step) for step in range(30)]


def test_spans_in_epochs_count_the_tasks_own_epochs() -> None:
    plan = make_plan(job(schedule=REGISTRY["constant"].build(lr=0.1, warmup="2 epochs")), examples=640)
    assert (plan.lr[20], plan.lr[18] < 0.1) == (0.1, True)


def test_an_epochs_order_is_a_permutation_that_depends_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first = epoch_order(3, 4, 100)
    torch.manual_seed(2)
    assert torch.equal(first, epoch_order(3, 4, 100))
    assert sorted(first.tolist()) == list(range(100))


def test_no_two_of_a_thousand_streams_share_a_seed() -> None:
    assert len({derived_seed(seed, 1, epoch) for seed in range(25) for epoch in range(40)}) == 1000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 3}, "epochs, steps: need exactly one of the two, got 3, 30"),
        ({"steps": 0}, "epochs, steps: need at least 1, got 0"),
        ({"batch_size": 0}, "batch_size: need at least 1, got 0"),
        ({"report_every": -1}, "report_every: need at least 0, got -1"),
        ({"seed": -1}, "seed: need at least 0, got -1"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused_when_it_is_built(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        job(**wrong)
