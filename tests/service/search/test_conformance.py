"""What the planner may rely on, whichever the search method."""

from __future__ import annotations

import json
from copy import deepcopy

import numpy as np
import pytest
from search_studies import SPACE, observed, pending, results, study

from contract.studies import CreateStudy
from schedules import from_dict, to_dict
from service import search
from service.search import strategy_for
from service.search.space import config_of
from service.search.strategy import Strategy

DEFINITIONS = {
    "grid": study({"method": "grid", "seeds": 2}, SPACE, seed=3),
    "tpe": study({"method": "tpe", "trials": 30}, SPACE, seed=3),
    "tpe, one family": study({"method": "tpe", "trials": 30}, SPACE | {"schedules": SPACE["schedules"][2:3]}),
    "tpe, nothing to search": study({"method": "tpe", "trials": 30}, {"schedules": ["cosine", "linear"], "lr": 0.1}),
    "range test": study({"method": "range_test", "seeds": 4}, seed=3),
}


@pytest.fixture(params=DEFINITIONS)
def definition(request: pytest.FixtureRequest) -> CreateStudy:
    return DEFINITIONS[request.param]


@pytest.fixture
def strategy(definition: CreateStudy) -> Strategy:
    return rebuilt(definition)


def rebuilt(definition: CreateStudy) -> Strategy:
    """As after a restart, from what the database holds."""
    search._build.cache_clear()
    return strategy_for(CreateStudy.model_validate(json.loads(json.dumps(definition.model_dump(mode="json")))))


def last(strategy: Strategy) -> int:
    assert strategy.planned is not None
    return strategy.planned


def test_the_same_history_gives_the_same_proposals(definition: CreateStudy, strategy: Strategy) -> None:
    history = results(strategy, 15)
    assert rebuilt(definition).propose(history, len(history), 5) == strategy.propose(history, len(history), 5)


def test_a_service_that_restarts_after_every_trial_runs_the_same_study(
    definition: CreateStudy, strategy: Strategy
) -> None:
    history = results(strategy, 20)
    for number, seen in enumerate(history):
        [again] = rebuilt(definition).propose(history[:number], number, 1)
        assert observed(again, seen.loss) == seen


def test_one_proposal_at_a_time_is_the_same_as_all_in_one_go(strategy: Strategy) -> None:
    history = results(strategy, 12)
    start = len(history)
    at_once = strategy.propose(history, start, 6)
    singly = []
    for number in range(start, start + len(at_once)):
        singly += strategy.propose([*history, *pending(singly)], number, 1)
    assert singly == at_once


def test_the_order_in_which_the_history_is_told_does_not_matter(strategy: Strategy) -> None:
    history = results(strategy, 15)
    assert strategy.propose(history[::-1], len(history), 3) == strategy.propose(history, len(history), 3)


def test_nothing_is_remembered_between_calls(definition: CreateStudy, strategy: Strategy) -> None:
    history = results(strategy, 15)
    strategy.propose(history[:5], 5, 7)
    strategy.fallback(6)
    start = len(history)
    assert strategy.propose(history, start, 2) == rebuilt(definition).propose(history, start, 2)


def test_the_history_is_left_as_it_was(strategy: Strategy) -> None:
    history = results(strategy, 15)
    before = deepcopy(history)
    strategy.propose(history, len(history), 3)
    assert history == before


def test_numbers_are_contiguous_and_end_with_the_plan(strategy: Strategy) -> None:
    proposals = strategy.propose([], 0, last(strategy) + 50)
    assert [proposal.number for proposal in proposals] == list(range(last(strategy)))


def test_nothing_is_proposed_past_the_plan(strategy: Strategy) -> None:
    end = last(strategy)
    assert strategy.propose([], end, 10) == []
    assert strategy.fallback(end) is None


def test_every_proposals_schedule_binds_and_trains_at_a_finite_rate(strategy: Strategy) -> None:
    for proposal in strategy.propose(results(strategy, 12), 12, 40):
        rates = proposal.schedule.bind(200, 20).lr(np.arange(200))
        assert np.isfinite(rates).all()
        assert rates.max() > 0


def test_params_and_schedule_survive_json_exactly(strategy: Strategy) -> None:
    for proposal in strategy.propose(results(strategy, 12), 12, 40):
        text = json.dumps({"params": proposal.params, "schedule": to_dict(proposal.schedule)}, allow_nan=False)
        back = json.loads(text)
        assert back["params"] == proposal.params
        assert config_of(from_dict(back["schedule"]), back["params"]) == proposal.config


def test_trials_that_failed_change_no_later_proposal(strategy: Strategy) -> None:
    history = results(strategy, 15)
    start = len(history)
    failed = [observed(proposal, None) for proposal in strategy.propose(history, start, 1)]
    assert strategy.propose([*history, *failed], start + 1, 2) == strategy.propose(history, start + 1, 2)


def test_a_fallback_depends_on_its_number_only(definition: CreateStudy, strategy: Strategy) -> None:
    numbers = range(min(last(strategy), 25))
    forth = [strategy.fallback(number) for number in numbers]
    fresh = rebuilt(definition)
    back = [fresh.fallback(number) for number in reversed(numbers)]
    assert forth == back[::-1]
    assert [proposal.number for proposal in forth if proposal] == list(numbers)


def test_fallbacks_may_stand_in_for_any_proposal(strategy: Strategy) -> None:
    history = [*results(strategy, 8)]
    for number in range(len(history), min(last(strategy), 16)):
        found = strategy.propose(history, number, 1)[0] if number % 2 else strategy.fallback(number)
        assert found is not None
        history.append(observed(found, 1.0))
    assert [item.number for item in history] == list(range(len(history)))


@pytest.mark.parametrize("slots", [0, 1, 7])
def test_the_queue_is_never_planned_shorter_than_the_slots(strategy: Strategy, slots: int) -> None:
    assert strategy.ahead(slots) >= max(1, slots)
