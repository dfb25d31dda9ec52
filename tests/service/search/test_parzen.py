"""The estimator's arithmetic: its densities are densities, its points are in bounds, and it learns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from service.search.parzen import Array, Axis, Choices, Numbers, _Mixture, suggest

RATE = Numbers(low=1e-4, high=1.0, log=True, integer=False)
DEPTH = Numbers(low=1, high=9, log=False, integer=True)


def trials(axes: list[Axis], count: int, loss: Callable[[Array], Array]) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    points = np.column_stack(
        [rng.integers(axis.count, size=count) if isinstance(axis, Choices) else rng.random(count) for axis in axes]
    ).astype(np.float64)
    return points, loss(points)


@pytest.mark.parametrize("count", [0, 1, 30])
def test_the_density_of_a_number_integrates_to_one(count: int) -> None:
    mixture = _Mixture([RATE], np.random.default_rng(1).random((count, 1)))
    at = (np.arange(20_000) + 0.5) / 20_000
    total = np.exp(mixture.log_density(at[:, None])).mean() / np.sqrt(2 * np.pi)
    assert total == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("count", [0, 1, 30])
def test_the_shares_of_choices_sum_to_one(count: int) -> None:
    mixture = _Mixture([Choices(4)], np.random.default_rng(1).integers(4, size=(count, 1)).astype(np.float64))
    assert np.exp(mixture.log_density(np.arange(4.0)[:, None])).sum() == pytest.approx(1.0)


def test_points_are_in_bounds_and_whole_where_they_must_be() -> None:
    axes: list[Axis] = [RATE, DEPTH, Choices(3)]
    points, losses = trials(axes, 40, lambda at: at[:, 0])
    rng = np.random.default_rng(2)
    drawn = np.array([suggest(axes, points, losses, rng) for _ in range(50)])
    assert np.all((drawn >= [1e-4, 1, 0]) & (drawn <= [1.0, 9, 2]))
    assert np.array_equal(drawn[:, 1:], drawn[:, 1:].round())


def test_points_gather_where_the_losses_are_small() -> None:
    axes: list[Axis] = [RATE, Choices(3)]
    points, losses = trials(axes, 100, lambda at: (at[:, 0] - 0.3) ** 2 + 0.1 * np.abs(at[:, 1] - 2))
    rng = np.random.default_rng(3)
    drawn = [suggest(axes, points, losses, rng) for _ in range(30)]
    assert abs(np.median([RATE.inward(rate) for rate, _ in drawn]) - 0.3) < 0.1
    assert sum(choice == 2 for _, choice in drawn) > 20


def test_what_runs_keeps_new_points_away() -> None:
    points, losses = trials([RATE], 60, lambda at: (at[:, 0] - 0.5) ** 2)
    crowd = np.full((60, 1), 0.5)
    alone, crowded = (
        np.mean([abs(RATE.inward(suggest([RATE], at, told, rng)[0]) - 0.5) for _ in range(60)])
        for at, told, rng in (
            (points, losses, np.random.default_rng(4)),
            (np.vstack([points, crowd]), np.append(losses, np.full(60, np.nan)), np.random.default_rng(4)),
        )
    )
    assert crowded > 1.5 * alone
