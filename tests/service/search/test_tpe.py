"""TPE: it learns, over families and within them, from what has finished and what is running."""

from __future__ import annotations

from collections import Counter
from math import inf, log10
from statistics import median
from time import perf_counter
from typing import Any

import pytest
from search_studies import LOG_LR, SPACE, loss_of, observed, pending, results, study

from service.search import strategy_for
from service.search.strategy import Observation, Proposal, SpaceError, Strategy


def tpe(trials: int = 60, space: dict[str, Any] | None = None, seed: int = 0, startup: int = 0) -> Strategy:
    search = {"method": "tpe", "trials": trials, "startup": startup}
    return strategy_for(study(search, SPACE if space is None else space, seed=seed))


def best_of(history: list[Observation]) -> float:
    return min(item.loss for item in history if item.loss is not None)


def quasi_random(strategy: Strategy, trials: int) -> list[Observation]:
    drawn = [proposal for number in range(trials) if (proposal := strategy.fallback(number))]
    return [observed(proposal, loss_of(proposal)) for proposal in drawn]


def test_sixty_trials_beat_sixty_quasi_random_ones() -> None:
    seeds = range(5)
    learned = median(best_of(results(tpe(seed=seed), 60)) for seed in seeds)
    assert learned < 0.6 * median(best_of(quasi_random(tpe(seed=seed), 60)) for seed in seeds)


def test_the_best_family_gets_more_trials_than_the_worst_and_none_is_left_out() -> None:
    families = Counter(item.family for seed in range(3) for item in results(tpe(seed=seed), 60))
    assert families["rex"] > 2 * families["constant"]
    assert len(families) == 4


def test_trials_after_startup_say_that_tpe_proposed_them() -> None:
    origins = [proposal.origin for proposal in tpe(startup=6).propose([], 0, 4)]
    assert origins == ["startup"] * 4
    strategy = tpe(startup=6)
    assert [proposal.origin for proposal in strategy.propose(results(strategy, 8), 8, 2)] == ["tpe", "tpe"]


def test_without_a_startup_of_its_own_half_of_a_small_study_explores() -> None:
    strategy = tpe(trials=12)
    history = results(strategy, 12)
    origins = [strategy.propose(history[:number], number, 1)[0].origin for number in range(12)]
    assert origins == ["startup"] * 6 + ["tpe"] * 6


def test_nothing_finished_yet_means_exploring_on() -> None:
    strategy = tpe(startup=4)
    queued = strategy.propose([], 0, 12)
    assert {proposal.origin for proposal in queued} == {"startup"}
    assert len({proposal.config for proposal in queued}) == 12


def test_a_queue_filled_at_once_spreads_because_queued_trials_count() -> None:
    strategy = tpe()
    queued = strategy.propose(results(strategy, 20), 20, 10)
    assert len({proposal.config for proposal in queued}) == 10


def test_running_trials_push_proposals_away_from_themselves() -> None:
    strategy = tpe()
    history = results(strategy, 20)
    alone = strategy.propose(history, 25, 1)
    crowd = pending([*strategy.propose(history, 20, 5)])
    assert strategy.propose([*history, *crowd], 25, 1) != alone


def test_a_study_in_which_everything_diverged_goes_on() -> None:
    strategy = tpe(startup=4)
    history = results(strategy, 12, objective=lambda proposal: inf)
    assert len({proposal.config for proposal in strategy.propose(history, 12, 3)}) == 3


def test_diverged_trials_teach_to_stay_away() -> None:
    strategy = tpe(trials=50, space={"schedules": ["constant"], "lr": LOG_LR})
    history = results(strategy, 40, lambda proposal: _cliff(float(proposal.params["lr"])))
    early, late = (sum(item.loss == inf for item in part) for part in (history[:10], history[30:]))
    assert early == 6
    assert late <= 2


def _cliff(lr: float) -> float:
    return inf if lr > 0.01 else abs(log10(lr) + 3)


def test_a_small_space_is_tried_out_before_anything_is_repeated() -> None:
    space = {"schedules": ["constant"], "lr": {"choice": [0.01, 0.1, 1.0]}, "weight_decay": {"choice": [0.0, 0.1]}}
    strategy = tpe(trials=20, space=space, startup=2)
    proposals = _run(strategy, 20)
    assert len({proposal.config for proposal in proposals[:8]}) >= 5
    assert len({(proposal.config, proposal.seed) for proposal in proposals}) == 20


def _run(strategy: Strategy, trials: int) -> list[Proposal]:
    proposals: list[Proposal] = []
    for number in range(trials):
        history = [observed(proposal, loss_of(proposal)) for proposal in proposals]
        proposals += strategy.propose(history, number, 1)
    return proposals


def test_choices_that_python_takes_for_equal_are_kept_apart() -> None:
    space = {"schedules": [{"family": "cosine", "warmup": {"choice": [1e-3, "1 steps", "5%"]}}], "lr": LOG_LR}
    values = {proposal.params["warmup"] for proposal in _run(tpe(trials=20, space=space), 20)}
    assert values == {1e-3, "1 steps", "5%"}


def test_a_family_listed_twice_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"space\.schedules\[1\]: tpe models a family once"):
        tpe(space={"schedules": ["cosine", "cosine"], "lr": 0.1})


def test_a_startup_longer_than_the_study_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"search\.startup: need startup <= trials = 10, got 11"):
        tpe(trials=10, startup=11)


def test_proposing_after_two_hundred_trials_takes_tens_of_milliseconds() -> None:
    strategy = tpe(trials=300)
    drawn = [proposal for number in range(200) if (proposal := strategy.fallback(number))]
    history = [observed(proposal, loss_of(proposal)) for proposal in drawn]
    times = []
    for number in range(200, 205):
        start = perf_counter()
        strategy.propose(history, number, 1)
        times.append(perf_counter() - start)
    assert min(times) < 0.3  # 25 ms alone on a core; the machine may be full
