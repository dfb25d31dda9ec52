"""The range test's trials: ramps, one a seed."""

from __future__ import annotations

import numpy as np
import pytest
from search_studies import SPACE, study

from service.search import strategy_for
from service.search.strategy import Proposal, SpaceError


def ramps(**search: float) -> list[Proposal]:
    return strategy_for(study({"method": "range_test", **search}, seed=5)).propose([], 0, 100)


def test_there_is_one_trial_per_seed_and_all_are_one_configuration() -> None:
    trials = ramps(seeds=3)
    assert [trial.seed for trial in trials] == [5, 6, 7]
    assert len({trial.config for trial in trials}) == 1


def test_every_steps_loss_is_asked_for() -> None:
    assert {(trial.report_every, trial.origin) for trial in ramps()} == {(1, "range_test")}


def test_the_rate_rises_from_low_to_high_by_the_same_factor_every_step() -> None:
    rates = ramps(low=1e-5, high=1.0)[0].schedule.bind(101).lr(np.arange(101))
    np.testing.assert_allclose(rates[[0, -1]], [1e-5, 1.0], rtol=1e-9)
    np.testing.assert_allclose(rates[1:] / rates[:-1], 10 ** (5 / 100), rtol=1e-9)


def test_a_space_beside_a_range_test_is_refused() -> None:
    with pytest.raises(SpaceError, match="space: a range test searches nothing"):
        strategy_for(study({"method": "range_test"}, SPACE))


def test_too_few_steps_to_read_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"budget\.steps: a range test needs at least 20 steps, got 19"):
        strategy_for(study({"method": "range_test"}, budget={"steps": 19}))
