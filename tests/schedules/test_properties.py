from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import DECREASING, PROFILES, SCHEDULES, SHAPES, SIMPLE, WARMUPS, numbers, units

from schedules import Fractal, Join, Once, Profile, Restarts, Schedule, Shape, Span, Warmup, from_dict, to_dict

horizons = st.integers(1, 400)
quick = settings(max_examples=120, deadline=None)


@quick
@given(SCHEDULES, horizons)
def test_a_rate_stays_between_zero_and_the_peak(schedule: Schedule, total: int) -> None:
    rates = schedule.bind(total).lr(np.arange(total + 5))
    assert rates.min() >= 0
    assert rates.max() <= schedule.lr * (1 + 1e-12)


@quick
@given(SHAPES, numbers(0, 1), horizons)
def test_a_rate_never_falls_below_the_end_value(shape: Shape, end: float, total: int) -> None:
    if shape.kind == "one_cycle":
        end = min(end, shape.start)
    rates = Schedule(lr=2.0, shape=shape, end=end).bind(total).lr(np.arange(total + 5))
    assert rates.min() >= 2 * end * (1 - 1e-12) - 1e-15


@quick
@given(DECREASING, units, horizons)
def test_a_decreasing_profile_gives_rates_that_never_rise(profile: Profile, end: float, total: int) -> None:
    rates = Schedule(lr=1.0, shape=Once(profile=profile), end=end).bind(total).lr(np.arange(total + 3))
    assert np.diff(rates).max(initial=0.0) <= 1e-14


@quick
@given(PROFILES)
def test_a_profile_begins_at_its_peak_and_stays_within_zero_and_one(profile: Profile) -> None:
    levels = profile(np.linspace(0, 1, 201))
    # tanh and saturating begin just below 1, by their own formulas; steps may drop at 0.
    assert levels[0] == pytest.approx(1.0, abs=0.13 if profile.kind == "tanh" else 1e-9) or profile.kind in {
        "steps",
        "saturating",
        "two_point",
    }
    assert levels.min() >= -1e-15
    assert levels.max() <= 1 + 1e-15


@quick
@given(SHAPES, WARMUPS, st.integers(1, 100))
def test_relative_spans_keep_the_profile_when_the_horizon_doubles(
    shape: Shape, warmup: Warmup | None, total: int
) -> None:
    if shape.kind == "one_cycle":
        shape = replace(shape, accounting="fraction")
    if warmup is not None:
        warmup = replace(warmup, counting="elapsed")
    schedule, steps = Schedule(lr=1.0, shape=shape, warmup=warmup), np.arange(total + 1)
    once, twice = schedule.bind(total).lr(steps), schedule.bind(2 * total).lr(2 * steps)
    np.testing.assert_allclose(once, twice, rtol=1e-9, atol=1e-12)


@quick
@given(SCHEDULES, horizons, st.data())
def test_resuming_at_a_step_is_bit_for_bit_what_a_fresh_run_has_there(
    schedule: Schedule, total: int, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, total + 5))
    whole, fresh = schedule.bind(total), schedule.bind(total)
    assert fresh.lr(step) == whole.lr(np.arange(total + 6))[step]
    if schedule.momentum is not None:
        assert fresh.momentum(step) == whole.momentum(np.arange(total + 6))[step]


@quick
@given(SCHEDULES)
def test_a_schedule_survives_json_as_an_equal_value(schedule: Schedule) -> None:
    again = from_dict(json.loads(json.dumps(to_dict(schedule), allow_nan=False)))
    assert again == schedule
    assert hash(again) == hash(schedule)


@quick
@given(SCHEDULES, st.sampled_from([1, 2]))
def test_horizons_of_one_and_two_steps_do_not_crash(schedule: Schedule, total: int) -> None:
    assert np.isfinite(schedule.bind(total).lr(np.arange(5))).all()


def needs_no_time(shape: Shape) -> bool:
    """Neither a cooldown nor a tail, which must fit in after the warmup."""
    return shape.kind != "stable_decay" and getattr(shape, "tail", Span(0.0)) == Span(0.0)


@quick
@given(SHAPES.filter(needs_no_time), st.integers(1, 50), st.sampled_from([0, -1, None]), st.booleans())
def test_a_warmup_may_be_as_long_as_the_horizon(shape: Shape, total: int, short: int | None, closed: bool) -> None:
    length = total if short is None else max(total + short, 0) if short else 0
    warmup = Warmup(span=Span(float(length), "steps"))
    bound = Schedule(lr=1.0, shape=shape, warmup=warmup, accounting="closed" if closed else "open").bind(total)
    rates = bound.lr(np.arange(total + 3))
    assert rates[0] == 0 or length == 0
    assert np.isfinite(rates).all()


@quick
@given(PROFILES, st.integers(1, 20), st.sampled_from([1, 2, 3, 4, 9, 10]), numbers(0.1, 1))
def test_every_restart_is_exactly_at_the_peak(profile: Profile, first: int, factor: int, decay: float) -> None:
    lengths = [first * factor**i for i in range(6)]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    shape = Restarts(profile=profile, first=Span(float(first), "steps"), factor=factor, decay=decay)
    bound = Schedule(lr=1.0, shape=shape).bind(sum(lengths))
    top = float(profile(np.zeros(1))[0])
    np.testing.assert_allclose(bound.lr(starts), top * decay ** np.arange(6.0), rtol=1e-12)


@quick
@given(PROFILES, st.integers(1, 20), st.sampled_from([1, 2, 3]))
def test_each_cycle_is_the_profile_over_its_own_length(profile: Profile, first: int, factor: int) -> None:
    shape = Restarts(profile=profile, first=Span(float(first), "steps"), factor=factor)
    total = first * (1 + factor + factor**2)
    rates = Schedule(lr=1.0, shape=shape).bind(total).lr(np.arange(total))
    last = first * factor**2
    own = Schedule(lr=1.0, shape=Once(profile=profile)).bind(last).lr(np.arange(last))
    np.testing.assert_allclose(rates[-last:], own, rtol=1e-12, atol=1e-15)


@quick
@given(SIMPLE, SIMPLE, st.integers(1, 30), st.integers(1, 30))
def test_each_part_of_a_join_sees_its_own_first_step_and_horizon(a: Schedule, b: Schedule, n: int, m: int) -> None:
    a, b = replace(a, momentum=None), replace(b, momentum=None)
    joined = Schedule(lr=1.0, shape=Join(parts=(a, b), at=(Span(float(n), "steps"),))).bind(n + m)
    alone = np.concatenate([a.bind(n).lr(np.arange(n)), b.bind(m).lr(np.arange(m))])
    np.testing.assert_array_equal(joined.lr(np.arange(n + m)), alone)


@pytest.mark.parametrize("period", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("m", [0.001, 0.05, 0.3])
def test_fractal_steps_shrink_every_error_as_chebyshevs_bound_says(period: int, m: float) -> None:
    shape = Fractal(period=period, condition=m)
    rates = Schedule(lr=1 / float(shape.curvatures()[0]), shape=shape).bind(period).lr(np.arange(period))
    curvatures = np.linspace(m, 1.0, 20_001)
    shrunk = np.abs(np.prod(1 - rates[:, None] * curvatures, axis=0)).max()
    rho = (1 - math.sqrt(m)) / (1 + math.sqrt(m))
    assert shrunk == pytest.approx(2 * rho**period / (1 + rho ** (2 * period)), rel=1e-9)
