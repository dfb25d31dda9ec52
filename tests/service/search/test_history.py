"""A history that grows is the same as one told everything at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from search_studies import SPACE, observed, pending, results, study

from service.search import strategy_for
from service.search.history import History
from service.search.strategy import Observation

LOSSES = st.sampled_from([(None, False), (None, True), (0.5, True), (0.25, True), (inf, True)])


def observation(number: int, state: tuple[float | None, bool]) -> Observation:
    """What a trial runs is a function of its number, as it is in a study."""
    loss, over = state
    return Observation(number=number, family="ab"[number % 2], params={"lr": float(number // 4)}, loss=loss, over=over)


TOLD = st.lists(st.lists(st.builds(observation, st.integers(0, 20), LOSSES), max_size=8), max_size=8)


def seen(history: History) -> tuple[object, ...]:
    rates = history.column("lr", lambda row: float(row.params["lr"]))
    tried = [history.tried(family, {"lr": float(rate)}) for family in "ab" for rate in range(6)]
    return list(history), history.losses.tolist(), history.counts.tolist(), rates.tolist(), tried


def same(one: History, other: History) -> bool:
    return all(np.array_equal(*pair, equal_nan=True) for pair in zip(seen(one)[1:], seen(other)[1:], strict=True))


@given(TOLD)
def test_told_bit_by_bit_in_any_order_it_is_as_told_at_once(told: Sequence[Sequence[Observation]]) -> None:
    history, latest = History(), dict[int, Observation]()
    for batch in told:
        distinct = {item.number: item for item in batch}
        history.note(distinct.values())
        latest |= distinct
        seen(history)  # so that the columns are there before more is told
    assert list(history) == [latest[number] for number in sorted(latest)]
    assert same(history, History(latest.values()))


@given(TOLD)
def test_a_copy_goes_its_own_way(told: Sequence[Sequence[Observation]]) -> None:
    history = History({item.number: item for batch in told for item in batch}.values())
    before = seen(history)
    history.copy().note([observation(number, (0.125, True)) for number in range(25)])
    assert repr(seen(history)) == repr(before)


def test_proposals_from_a_history_that_has_grown_are_those_from_all_at_once() -> None:
    strategy = strategy_for(study({"method": "tpe", "trials": 60}, SPACE))
    history = results(strategy, 30)
    grown = History()
    for number in range(len(history)):
        grown.note(pending(strategy.propose(grown, number, 1)))
        grown.note([history[number]])
        assert strategy.propose(grown, number + 1, 3) == strategy.propose(history[: number + 1], number + 1, 3)
    failed = [observed(proposal, None) for proposal in strategy.propose(grown, 30, 2)]
    grown.note(failed)
    assert strategy.propose(grown, 32, 2) == strategy.propose([*history, *failed], 32, 2)
