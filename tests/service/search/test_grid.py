"""The grid: which cells there are, in which order, and which grids are refused."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_studies import LOG_LR, SPACE, study

from service.search import strategy_for
from service.search.grid import MAX_TRIALS
from service.search.strategy import Proposal, SpaceError


def grid(space: dict[str, Any], seeds: int = 1, seed: int = 0) -> list[Proposal]:
    strategy = strategy_for(study({"method": "grid", "seeds": seeds}, space, seed=seed))
    return strategy.propose([], 0, MAX_TRIALS)


def refusal(space: dict[str, Any], seeds: int = 1) -> SpaceError:
    with pytest.raises(SpaceError) as caught:
        strategy_for(study({"method": "grid", "seeds": seeds}, space))
    return caught.value


def test_every_cell_is_tried_exactly_once_per_seed() -> None:
    trials = grid(SPACE, seeds=3)
    cells = 2 * (5 + 5 * 3 + 5 * 4 + 3)
    assert len(trials) == 3 * cells
    assert len({(trial.config, trial.seed) for trial in trials}) == 3 * cells


def test_the_first_seed_covers_the_space_before_the_second_begins() -> None:
    trials = grid(SPACE, seeds=3, seed=10)
    cells = len(trials) // 3
    assert [trial.seed for trial in trials] == [10] * cells + [11] * cells + [12] * cells
    assert [trial.config for trial in trials[:cells]] == [trial.config for trial in trials[cells : 2 * cells]]


def test_a_range_is_cut_evenly_with_both_ends_exactly_in() -> None:
    space = {"schedules": [{"family": "rex", "d": {"low": 0.1, "high": 0.7, "points": 4}}], "lr": 0.1}
    assert [trial.params["d"] for trial in grid(space)] == [0.1, pytest.approx(0.3), pytest.approx(0.5), 0.7]


def test_a_log_range_is_cut_evenly_in_its_logarithm() -> None:
    rates = [trial.params["lr"] for trial in grid({"schedules": ["constant"], "lr": LOG_LR | {"points": 6}})]
    assert rates == [1e-4, *(pytest.approx(value) for value in (1e-3, 1e-2, 1e-1, 1.0)), 10.0]


def test_a_range_of_whole_numbers_gives_whole_numbers() -> None:
    cycles = [trial.params["cycles"] for trial in grid(SGDR | {"lr": 0.1})]
    assert [(type(value), value) for value in cycles] == [(int, 1), (int, 2), (int, 4), (int, 5)]


SGDR: dict[str, Any] = {"schedules": [{"family": "sgdr", "cycles": {"low": 1, "high": 5, "points": 4}}]}


def test_a_range_without_points_is_refused_where_it_stands() -> None:
    error = refusal({"schedules": ["cosine"], "lr": {"low": 0.1, "high": 1.0}})
    assert (error.field, error.rule) == ("space.lr", "a range in a grid needs `points`")


def test_more_points_than_whole_numbers_are_refused() -> None:
    space = {"schedules": [{"family": "sgdr", "cycles": {"low": 1, "high": 3, "points": 5}}], "lr": 0.1}
    error = refusal(space)
    assert (error.field, error.value) == ("space.schedules[0].cycles", 5)
    assert "at most 3 whole numbers" in error.rule


def test_ten_million_cells_are_refused_at_once_with_the_count_and_the_limit() -> None:
    wide = {"low": 0.1, "high": 1.0, "points": 10_000}
    error = refusal({"schedules": ["cosine"], "lr": wide, "weight_decay": wide | {"points": 1_000}})
    assert error.value == 10_000_000
    assert "10,000,000 cells" in error.rule
    assert "at most 100,000" in error.rule


def test_seeds_count_towards_the_limit() -> None:
    space = {"schedules": ["cosine"], "lr": {"low": 0.1, "high": 1.0, "points": 200}}
    assert refusal(space, seeds=501).value == 100_200


@pytest.mark.parametrize(
    "entries",
    [
        ["cosine", "cosine"],
        ["cosine", {"family": "cosine", "warmup": {"choice": [0, "5%"]}}],
        [{"family": "cosine", "warmup": "5%"}, {"family": "cosine", "warmup": {"choice": ["10%", 0.05]}}],
    ],
)
def test_entries_that_share_a_cell_are_refused(entries: list[Any]) -> None:
    error = refusal({"schedules": entries, "lr": 0.1})
    assert (error.field, error.rule.split(";")[0]) == ("space.schedules[1]", "repeats cells of space.schedules[0]")


def test_entries_of_one_family_that_share_no_cell_are_fine() -> None:
    low, high = ({"family": "rex", "d": d, "lr": lr} for d, lr in ((0.5, 0.1), (0.9, 0.2)))
    assert [trial.params["d"] for trial in grid({"schedules": [low, high]})] == [0.5, 0.9]


axis = st.integers(min_value=1, max_value=4)


@settings(deadline=None)
@given(rates=axis, decays=axis, warmups=axis, seeds=axis)
def test_number_and_cell_determine_each_other(rates: int, decays: int, warmups: int, seeds: int) -> None:
    space = {
        "schedules": ["linear", {"family": "cosine", "warmup": {"choice": [f"{5 * i}%" for i in range(warmups)]}}],
        "lr": {"choice": [0.1 * (i + 1) for i in range(rates)]},
        "weight_decay": {"choice": [0.01 * i for i in range(decays)]},
    }
    trials = grid(space, seeds=seeds)
    assert len(trials) == seeds * (rates * decays + prod((rates, decays, warmups)))
    assert len({(trial.config, trial.seed) for trial in trials}) == len(trials)
