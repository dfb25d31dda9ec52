"""What the analysis of a range test makes of curves whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.search.range_curve import RangeTestResult, analyse

Floats = NDArray[np.float64]

KNOWN = json.loads(Path(__file__).with_name("lr_finder.json").read_text())
RATES: Floats = np.geomspace(1e-6, 10.0, 300)
FALL: Floats = np.interp(np.log10(RATES), np.log10(KNOWN["lrs"]), KNOWN["losses"])
"""Falls steepest at 3.0e-3, lowest near 0.2, explodes from 1 on."""


def read(loss: Floats, *, noise: float = 0.0, seeds: int = 3, draw: int = 0) -> RangeTestResult:
    rng = np.random.default_rng(draw)
    return analyse([(RATES, loss + rng.normal(0, noise, len(RATES))) for _ in range(seeds)], high=10.0)


def test_the_steepest_fall_of_the_known_curve_is_found() -> None:
    result = analyse([(np.array(KNOWN["lrs"]), np.array(KNOWN["losses"]))], high=10.0)
    assert result.rules["steepest"] == pytest.approx(KNOWN["true_log_steepest"], rel=0.06)


@pytest.mark.parametrize("seeds", [1, 3])
def test_noise_does_not_move_the_steepest_fall_to_higher_rates(seeds: int) -> None:
    rates, losses = np.array(KNOWN["lrs"]), np.array(KNOWN["losses"])
    rng = np.random.default_rng(5)
    found = [
        analyse([(rates, losses + rng.normal(0, 0.05, 100)) for _ in range(seeds)], high=10.0).rules["steepest"]
        for _ in range(100)
    ]
    low, median, high = np.percentile(found, [10, 50, 90]) / KNOWN["true_log_steepest"]
    assert median == pytest.approx(1.0, rel=0.15)
    assert 0.5 < low < high < 2.0


def test_the_suggestion_lies_between_the_steepest_fall_and_the_minimum() -> None:
    result = read(FALL, noise=0.02)
    assert result.suggestion is not None
    assert result.rules["steepest"] < result.suggestion < 10 * result.rules["minimum/10"]
    assert "a third into the plateau" in result.reason


def test_the_bracket_holds_the_suggestion_and_ends_before_the_explosion() -> None:
    result = read(FALL, noise=0.02)
    bracket = (result.low, result.suggestion, result.high)
    assert bracket == tuple(sorted(value for value in bracket if value is not None))
    assert (result.high or 1.0) < 1.0


@pytest.mark.parametrize("points", [100, 300, 1000])
def test_a_flat_curve_gets_no_suggestion_however_noise_falls(points: int) -> None:
    rng = np.random.default_rng(1)
    rates = np.geomspace(1e-6, 10, points)
    results = [analyse([(rates, 2.3 + rng.normal(0, 0.05, points))] * 1, high=10.0) for _ in range(100)]
    assert sum(result.suggestion is not None for result in results) <= 2
    assert sum("flat" in result.reason for result in results) >= 90


def test_a_constant_curve_gets_no_suggestion() -> None:
    result = read(np.full(300, 2.3))
    assert (result.suggestion, result.low, result.high, dict(result.rules)) == (None, None, None, {})
    assert "flat" in result.reason


def test_a_rising_curve_gets_no_suggestion_and_the_advice_to_start_lower() -> None:
    result = read(2.3 + 3 / (1 + np.exp(-4 * (np.log10(RATES) + 1))), noise=0.02)
    assert result.suggestion is None
    assert "only rises" in result.reason


def test_a_curve_still_falling_at_the_end_gets_the_advice_to_go_higher() -> None:
    result = read(2.3 - 0.2 * (np.log10(RATES) + 6), noise=0.02)
    assert result.suggestion is None
    assert "raise `high`" in result.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_an_explosion_does_not_reach_into_the_smoothed_curve(bad: float) -> None:
    exploded = np.where(RATES > 0.5, bad, FALL)
    result, clean = read(exploded, noise=0.02), read(FALL, noise=0.02)
    assert result.suggestion == pytest.approx(clean.suggestion, rel=0.3)
    assert result.lr[-1] < 0.6
    assert np.isfinite(result.loss).all()


def test_a_curve_whose_points_end_has_diverged_there() -> None:
    kept = RATES < 0.3
    result = analyse([(RATES[kept], FALL[kept])] * 3, high=10.0)
    assert result.suggestion is not None
    assert result.lr[-1] == pytest.approx(0.3, rel=0.1)


def test_one_seed_that_explodes_early_does_not_decide() -> None:
    early = np.where(RATES > 1e-4, np.nan, FALL)
    result = analyse([(RATES, FALL), (RATES, FALL), (RATES, early)], high=10.0)
    assert result.suggestion == pytest.approx(read(FALL).suggestion, rel=0.3)


def test_levels_that_differ_between_seeds_are_not_mistaken_for_a_slope() -> None:
    shifted = analyse([(RATES, FALL), (RATES[:250], FALL[:250] + 0.8), (RATES, FALL - 0.5)], high=10.0)
    assert shifted.rules["steepest"] == pytest.approx(read(FALL).rules["steepest"], rel=0.1)


def test_negative_losses_are_read_like_positive_ones() -> None:
    assert read(FALL - 50.0, noise=0.02).suggestion == pytest.approx(read(FALL, noise=0.02).suggestion, rel=1e-6)


@pytest.mark.parametrize(
    ("curves", "said"),
    [
        ([], "nothing has been measured"),
        ([(RATES, np.full(300, np.nan))], "no finite losses"),
        ([(RATES[:10], FALL[:10])], "10 points are too few"),
        ([(RATES, np.where(RATES > 1.5e-6, np.inf, 2.3))], "8 points are too few"),
        ([(RATES, np.where(RATES > 3e-6, np.inf, 2.3))], "before the loss had fallen"),
    ],
)
def test_curves_with_next_to_nothing_in_them_get_the_reason(curves: list[tuple[Floats, Floats]], said: str) -> None:
    result = analyse(curves, high=10.0)
    assert result.suggestion is None
    assert said in result.reason


@pytest.mark.parametrize(
    "curve", [(RATES, FALL[:-1]), (RATES[::-1], FALL), (RATES - 1e-6, FALL), (np.full(300, 0.1), FALL)]
)
def test_rates_that_are_no_ramp_are_refused(curve: tuple[Floats, Floats]) -> None:
    with pytest.raises(ValueError, match="positive and ascending"):
        analyse([curve])
