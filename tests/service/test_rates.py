"""The rate a trial used, read back from what it reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schedules import BoundFeedback, ReduceOnPlateau, Span, Warmup, to_dict
from schedules.presets import REGISTRY
from schedules.traces import Recorded
from service import rates
from service.models import Trial

PER_EPOCH, TOTAL = 10, 80
LOSSES = [1.0, 0.5, 0.6, 0.7, 0.4, 0.6, 0.3, 0.5]


def row(schedule: Any) -> Trial:
    return Trial(id=3, family="reduce_on_plateau", schedule=to_dict(schedule), total_steps=TOTAL, steps_per_epoch=10)


def reported(schedule: ReduceOnPlateau, every: int) -> tuple[BoundFeedback, list[int], list[dict[str, float]]]:
    """What a worker reports: the rate of the last update made, every so many updates and at each epoch's end."""
    bound = schedule.bind(TOTAL, PER_EPOCH)
    steps, values = [], []
    for step in range(1, TOTAL + 1):
        if step % every == 0 or step % PER_EPOCH == 0:
            steps.append(step)
            values.append({"lr": bound.lr(step - 1)})
        if step % PER_EPOCH == 0:
            bound.observe(LOSSES[step // PER_EPOCH - 1], step=step)
    return bound, steps, values


@pytest.mark.parametrize("every", [1, 3, 10])
@pytest.mark.parametrize("warmup", [0, 1, 9, 10, 25])
def test_the_rates_of_all_updates_lie_on_the_lines_between_the_points_kept(every: int, warmup: int) -> None:
    ramp = Warmup(span=Span(warmup, "steps")) if warmup else None
    schedule = ReduceOnPlateau(lr=0.1, factor=0.5, patience=0, warmup=ramp)
    bound, steps, values = reported(schedule, every)
    curve = rates.rate_curve(row(schedule), steps, values, 500)
    updates = np.arange(TOTAL)
    np.testing.assert_allclose(np.interp(updates, curve.steps, curve.lr), bound.lr(updates), rtol=1e-12, atol=1e-15)
    assert curve.momentum is None


def test_a_trial_that_is_half_done_shows_the_half_that_is_known() -> None:
    schedule = ReduceOnPlateau(lr=0.1, factor=0.5, patience=0)
    _, steps, values = reported(schedule, 5)
    curve = rates.rate_curve(row(schedule), steps[:8], values[:8], 500)
    assert (curve.steps[0], curve.steps[-1]) == (0, 39)


def test_few_points_are_kept_of_a_rate_that_is_mostly_held() -> None:
    schedule = ReduceOnPlateau(lr=0.1, factor=0.5, patience=0)
    _, steps, values = reported(schedule, 1)
    assert rates.rate_curve(row(schedule), steps, values, 500).steps == [0, 29, 30, 39, 40, 59, 60, 79]
    assert len(rates.rate_curve(row(schedule), steps, values, 4).steps) == 4


def test_a_trial_that_has_reported_nothing_has_its_first_rate_and_no_drawing_but_words() -> None:
    schedule = ReduceOnPlateau(lr=0.1)
    curve = rates.rate_curve(row(schedule), [], [], 500)
    assert (curve.steps, curve.lr) == ([0], [0.1])
    assert isinstance(rates.drawn(row(schedule), [], []), BoundFeedback)
    assert isinstance(rates.drawn(row(schedule), [4], [{"lr": 0.1}]), Recorded)


def test_a_schedule_that_is_a_function_of_the_step_is_evaluated_whatever_was_reported() -> None:
    cosine = REGISTRY["cosine"].build(lr=0.1)
    curve = rates.rate_curve(row(cosine), [4], [{"lr": 9.0}], 5)
    assert (curve.steps, curve.lr[0], curve.lr[-1] < 0.001) == ([0, 20, 40, 59, 79], 0.1, True)
