"""The numbers the docstrings promise, at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from schedules import (
    Against,
    At,
    Cycle,
    Every,
    Fixed,
    Join,
    Once,
    OneCycle,
    Product,
    Restarts,
    Schedule,
    ScheduleError,
    Span,
    StableDecay,
    Warmup,
    from_dict,
    profiles,
    to_dict,
)

LINEAR = Once(profile=profiles.Linear())


def steps(count: float) -> Span:
    return Span(float(count), "steps")


@pytest.mark.parametrize(
    ("accounting", "rates"),
    [
        ("open", [1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0]),
        ("closed", [1.0, 0.75, 0.5, 0.25, 0.0, 0.0, 0.0]),
        ("shifted", [0.8, 0.6, 0.4, 0.2, 0.0, 0.0, 0.0]),
    ],
)
def test_the_accountings_differ_in_when_the_end_value_falls(accounting: str, rates: list[float]) -> None:
    bound = Schedule(lr=1.0, shape=LINEAR, accounting=accounting).bind(5)
    np.testing.assert_allclose(bound.lr(np.arange(7)), rates, atol=1e-15)


@pytest.mark.parametrize(
    ("beyond", "rates"),
    [("hold", [0.5, 0.0, 0.0, 0.0]), ("mirror", [0.5, 0.0, 0.5, 1.0]), ("repeat", [0.5, 1.0, 0.5, 1.0])],
)
def test_what_follows_a_profile_that_is_over_is_chosen(beyond: str, rates: list[float]) -> None:
    shape = Once(profile=profiles.Linear(), over=steps(2), beyond=beyond)
    np.testing.assert_allclose(Schedule(lr=1.0, shape=shape).bind(9).lr([1, 2, 3, 4]), rates, atol=1e-15)


def test_past_the_horizon_a_schedule_holds_unless_it_is_told_to_continue() -> None:
    shape = Once(profile=profiles.Exponential(ratio=0.5), over=steps(1), beyond="continue")
    assert Schedule(lr=1.0, shape=shape).bind(3).lr(9) == 0.125
    assert Schedule(lr=1.0, shape=shape, after="continue").bind(3).lr(9) == 0.5**9


def test_past_the_horizon_a_schedule_raises_when_told_to() -> None:
    bound = Schedule(lr=1.0, shape=LINEAR, after="raise").bind(3)
    assert bound.lr(2) == pytest.approx(1 / 3)
    with pytest.raises(ScheduleError, match=r"step: need step < total_steps = 3, got 3"):
        bound.lr([0, 3])


@pytest.mark.parametrize(
    ("warmup", "rates"),
    [
        (Warmup(span=steps(4)), [0.0, 0.25, 0.5, 0.75]),
        (Warmup(span=steps(4), counting="next"), [0.25, 0.5, 0.75, 1.0]),
        (Warmup(span=steps(4), counting="inside"), [0.2, 0.4, 0.6, 0.8]),
        (Warmup(span=steps(4), start=1 / 3), [1 / 3, 0.5, 2 / 3, 5 / 6]),
        (Warmup(span=steps(4), ramp=profiles.Cosine()), [0.0, 0.1464466094, 0.5, 0.8535533906]),
        (Warmup(span=steps(4), ramp=profiles.OneMinusSqrt()), [0.0, 0.1339745962, 0.2928932188, 0.5]),
        (Warmup(span=steps(4), ramp=profiles.Polynomial(power=2)), [0.0, 0.0625, 0.25, 0.5625]),
        (Warmup(span=steps(4), ramp=profiles.Saturating(rate=4)), [0.0, 0.6321205588, 0.8646647168, 0.9502129316]),
        (Warmup(span=steps(4), ramp=profiles.Exponential(ratio=1 / 16)), [0.0625, 0.125, 0.25, 0.5]),
    ],
)
def test_the_nine_warmups_ramp_as_documented(warmup: Warmup, rates: list[float]) -> None:
    bound = Schedule(lr=1.0, warmup=warmup).bind(10)
    np.testing.assert_allclose(bound.lr(np.arange(6)), [*rates, 1.0, 1.0], atol=1e-10)


def test_a_warmup_rises_to_where_the_shape_begins_and_the_shape_counts_from_its_end() -> None:
    cycle = OneCycle(rise=0.5, start=0.5, profile=profiles.Linear(), accounting="fraction")
    bound = Schedule(lr=1.0, shape=cycle, warmup=Warmup(span=steps(2))).bind(10)
    np.testing.assert_allclose(bound.lr([0, 1, 2, 4, 6]), [0.0, 0.25, 0.5, 0.75, 1.0])


def test_an_overlaid_warmup_hides_the_beginning_and_does_not_move_the_rest() -> None:
    bound = Schedule(lr=1.0, shape=LINEAR, warmup=Warmup(span=steps(4), overlay=True)).bind(10)
    np.testing.assert_allclose(bound.lr([0, 3, 4, 9]), [0.0, 0.75, 0.6, 0.1])


def test_a_sampled_profile_is_held_between_two_looks() -> None:
    every = Schedule(lr=1.0, shape=LINEAR, sampling=Every(span=Span(0.25))).bind(8)
    np.testing.assert_allclose(every.lr(np.arange(8)), [1, 1, 0.75, 0.75, 0.5, 0.5, 0.25, 0.25])
    at = Schedule(lr=1.0, shape=LINEAR, sampling=At(points=(0.5, 0.75))).bind(8)
    np.testing.assert_allclose(at.lr(np.arange(8)), [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25])


def test_sampling_per_epoch_needs_to_know_the_epoch() -> None:
    schedule = Schedule(lr=1.0, shape=LINEAR, sampling=Every(span=Span.parse("1 epoch")))
    np.testing.assert_allclose(schedule.bind(6, 3).lr(np.arange(6)), [1, 1, 1, 0.5, 0.5, 0.5])
    with pytest.raises(ScheduleError, match=r"span: steps_per_epoch is needed for a span of 1 epochs, got nothing"):
        schedule.bind(6)


@pytest.mark.parametrize(("factor", "restart"), [(3, 1210), (9, 74_70), (10, 1110)])
def test_the_restarts_that_logarithms_miss_are_at_the_peak(factor: int, restart: int) -> None:
    """torch's step(epoch) and timm return the end value at exactly these steps (T_0 = 10)."""
    rates = Schedule(lr=0.1, shape=Restarts(first=steps(10), factor=factor), after="continue").bind(10)
    boundaries = [10 * (factor**i - 1) // (factor - 1) for i in range(6)]
    np.testing.assert_array_equal(rates.lr(boundaries), 0.1)
    assert rates.lr(restart - 1) < 0.1


def test_restarts_shrink_their_peaks_but_never_below_the_end() -> None:
    shape = Restarts(cycles=3, decay=0.5, profile=profiles.Linear())
    bound = Schedule(lr=1.0, shape=shape, end=0.4).bind(30)
    np.testing.assert_allclose(bound.lr([0, 10, 20, 25, 30]), [1.0, 0.5, 0.4, 0.4, 0.4])


def test_the_last_cycle_ends_at_its_bottom_where_the_horizon_is_held() -> None:
    assert Schedule(lr=1.0, shape=Restarts(cycles=2)).bind(20).lr([10, 20, 25]).tolist() == [1.0, 0.0, 0.0]
    assert Schedule(lr=1.0, shape=Restarts(cycles=2), after="continue").bind(20).lr(20) == 1.0


def test_a_cycle_takes_any_profile_and_an_envelope_over_the_whole_time() -> None:
    envelope = Once(profile=profiles.Linear())
    bound = Schedule(lr=1.0, shape=Cycle(profile=profiles.Cosine(), cycles=2, envelope=envelope)).bind(8)
    np.testing.assert_allclose(
        bound.lr(np.arange(9)), [0, 0.4375, 0.75, 0.3125, 0, 0.1875, 0.25, 0.0625, 0], atol=1e-15
    )


def test_uneven_legs_and_halved_cycles() -> None:
    bound = Schedule(lr=1.0, shape=Cycle(up=steps(1), down=steps(3), decay=0.5)).bind(8)
    np.testing.assert_allclose(bound.lr(np.arange(8)), [0, 1, 2 / 3, 1 / 3, 0, 0.5, 1 / 3, 1 / 6], atol=1e-15)


def test_momentum_goes_against_the_rate_and_may_have_a_final_value() -> None:
    cycle = OneCycle(rise=0.5, start=0.0, profile=profiles.Linear(), accounting="fraction")
    momentum = Against(low=0.8, high=0.9, final=1.0 - 2**-4)
    bound = Schedule(lr=1.0, shape=cycle, momentum=momentum).bind(8)
    np.testing.assert_allclose(bound.momentum([0, 2, 4, 8]), [0.9, 0.85, 0.8, 0.9375])
    assert Schedule(lr=1.0, momentum=Fixed(value=0.7)).bind(8).momentum(3) == 0.7


def test_momentum_stays_high_while_the_rate_warms_up() -> None:
    bound = Schedule(lr=1.0, shape=LINEAR, warmup=Warmup(span=steps(2)), momentum=Against()).bind(10)
    np.testing.assert_allclose(bound.momentum([0, 1, 2, 10]), [0.95, 0.9, 0.85, 0.95])


def test_a_stable_part_of_its_own_keeps_falling_through_the_cooldown() -> None:
    shape = StableDecay(decay=steps(4), stable=profiles.InverseTime(rate=1), scale=steps(4))
    bound = Schedule(lr=1.0, shape=shape, end=0.25).bind(8)
    np.testing.assert_allclose(bound.lr([0, 4, 6, 8, 9]), [1.0, 0.5, 0.25 + 0.15 * 0.5, 0.25, 0.25])


def test_joins_and_products_nest() -> None:
    inner = Schedule(lr=0.5, shape=Join(parts=(Schedule(lr=1.0), Schedule(lr=0.1)), at=(steps(2),)))
    bound = Schedule(lr=2.0, shape=Product(factors=(inner, Schedule(lr=1.0, shape=LINEAR)))).bind(4)
    np.testing.assert_allclose(bound.lr(np.arange(4)), [1.0, 0.75, 0.05, 0.025])
    assert from_dict(to_dict(bound.schedule)) == bound.schedule


@pytest.mark.parametrize("step", [3, 3.0, np.int64(3), np.float64(3), np.array(3)])
def test_a_scalar_step_gives_a_float(step: float) -> None:
    assert type(Schedule(lr=1.0, shape=LINEAR).bind(4).lr(step)) is float


def test_an_array_keeps_its_shape_and_may_be_long_empty_or_unsorted() -> None:
    bound = Schedule(lr=1.0, shape=LINEAR).bind(40_000)
    assert bound.lr(np.zeros((2, 3, 4))).shape == (2, 3, 4)
    assert bound.lr(np.zeros(0)).shape == (0,)
    np.testing.assert_array_equal(bound.lr(np.arange(40_000)[::-1]), bound.lr(np.arange(40_000))[::-1])


@pytest.mark.parametrize("step", [-1, [0, -2], float("nan"), [1.0, float("nan")]])
def test_a_step_before_the_first_or_not_a_number_is_refused(step: object) -> None:
    with pytest.raises(ScheduleError, match="step: need step >= 0"):
        Schedule(lr=1.0).bind(4).lr(step)


def test_a_rate_that_grows_out_of_float_is_refused() -> None:
    shape = Once(profile=profiles.Exponential(ratio=10.0), over=steps(1), beyond="continue")
    with pytest.raises(ScheduleError, match="step: the rate overflows there, got 400"):
        Schedule(lr=1.0, shape=shape).bind(500).lr([1, 400])
