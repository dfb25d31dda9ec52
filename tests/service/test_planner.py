"""What keeps a study going and ends it, on both databases: the queue is filled ahead, and a restart changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from desk import Desk, worker
from sqlalchemy import select

from contract.leases import Failure
from contract.studies import CreateStudy
from schedules import from_dict
from service import planner, queue, studies
from service.histories import Histories
from service.models import Study, Trial
from service.proposals import enqueue
from service.search import strategy_for
from service.search.strategy import Proposal, Strategy

LIVE = timedelta(seconds=60)
TPE: dict[str, Any] = {
    "space": {"schedules": ["constant", "cosine"], "lr": {"low": 1e-3, "high": 1.0, "log": True}},
    "search": {"method": "tpe", "trials": 12, "startup": 4},
}


def loss_of(rate: float) -> float:
    return abs(rate - 0.1)


def finish_one(desk: Desk) -> None:
    lease = desk.claim()[0]
    desk.complete(desk.ref(lease), loss=loss_of(float(from_dict(lease.trial.schedule).lr)))


def proposed(desk: Desk) -> list[tuple[int, str, str, float]]:
    with desk.database.read() as session:
        rows = session.scalars(select(Trial).order_by(Trial.number)).all()
    return [(row.number, row.origin, row.family, float(row.params["lr"])) for row in rows]


def strategy_of(row: Study) -> Strategy:
    return strategy_for(CreateStudy.model_validate(row.definition))


def study(desk: Desk, study_id: int) -> Study:
    with desk.database.read() as session:
        return studies.get(session, study_id)


def run(desk: Desk, study_id: int, trials: int) -> None:
    for _ in range(trials):
        finish_one(desk)
        planner.top_up(desk.database, Histories(), study_id, live=LIVE)


def test_a_study_is_searched_to_its_last_trial_and_then_complete(desk: Desk) -> None:
    study_id = desk.create(**TPE)
    run(desk, study_id, 12)
    assert study(desk, study_id).status == "complete"
    assert [number for number, *_ in proposed(desk)] == list(range(12))


def test_the_same_request_and_results_give_the_same_trials_again(desk: Desk) -> None:
    first, second = desk.create(**TPE), desk.create(**TPE)
    for study_id in (first, second):
        run(desk, study_id, 12)
    with desk.database.read() as session:
        params = [
            session.scalars(select(Trial.params).where(Trial.study_id == one).order_by(Trial.number)).all()
            for one in (first, second)
        ]
    assert params[0] == params[1]


def test_a_claim_that_finds_the_queue_dry_gets_a_quasi_random_trial_marked_as_such(desk: Desk) -> None:
    desk.create(**(TPE | {"search": {"method": "tpe", "trials": 12, "startup": 1}}))
    desk.claim()
    with desk.database.write() as session:
        assert planner.fill_dry(session, worker().tasks, 1, now=desk.now)
    assert [origin for _, origin, *_ in proposed(desk)] == ["startup", "quasi-random"]
    assert desk.claim(name="worker-b")


def test_a_dry_queue_is_filled_for_all_claims_that_wait_as_far_as_the_study_goes(desk: Desk) -> None:
    desk.create(**(TPE | {"search": {"method": "tpe", "trials": 4, "startup": 1}}))
    desk.claim()
    with desk.database.write() as session:
        assert planner.fill_dry(session, worker().tasks, 8, now=desk.now)
    assert [(number, origin) for number, origin, *_ in proposed(desk)][1:] == [
        (number, "quasi-random") for number in (1, 2, 3)
    ]
    assert [len(desk.claim(name=f"worker-{name}")) for name in "bcde"] == [1, 1, 1, 0]


def test_a_dry_queue_is_not_filled_past_the_end_of_the_study(desk: Desk) -> None:
    desk.create(**(TPE | {"search": {"method": "tpe", "trials": 1}}))
    desk.claim()
    with desk.database.write() as session:
        assert not planner.fill_dry(session, worker().tasks, 1, now=desk.now)


def test_two_planners_that_propose_the_same_numbers_store_them_once(desk: Desk) -> None:
    study_id = desk.create(**TPE)
    row = study(desk, study_id)
    proposals = strategy_of(row).propose([], row.next_number, 2)
    stored = []
    for _ in range(2):
        with desk.database.write() as session:
            stored.append(enqueue(session, row.id, proposals, now=desk.now))
    assert stored == [2, 0]


def test_points_whose_numbers_were_given_away_meanwhile_are_left_out_for_they_were_given_with_them(desk: Desk) -> None:
    study_id = desk.create(**TPE)
    row = study(desk, study_id)
    proposals = strategy_of(row).propose([], row.next_number, 3)
    desk.claim()
    with desk.database.write() as session:
        assert planner.fill_dry(session, worker().tasks, 1, now=desk.now)
        stored = [enqueue(session, study_id, proposals, now=desk.now) for _ in range(2)]
    assert stored == [2, 0]
    rates = [float(proposal.params["lr"]) for proposal in proposals]
    assert [(number, rate) for number, *_, rate in proposed(desk)][1:] == list(enumerate(rates, start=1))


def learnt(desk: Desk, trials: int, count: int) -> tuple[int, Sequence[Proposal]]:
    """A study of so many trials, four of which are done, and what their results propose next."""
    study_id = desk.create(**(TPE | {"search": {"method": "tpe", "trials": trials, "startup": 4}}))
    for _ in range(4):
        finish_one(desk)
        with desk.database.write() as session:
            planner.fill_dry(session, worker().tasks, 1, now=desk.now)
    with desk.database.read() as session:
        history = Histories().of(session, study_id, "minimize")
    return study_id, strategy_of(study(desk, study_id)).propose(history, 5, count)


def test_what_was_learnt_moves_up_when_its_numbers_were_given_away_meanwhile(desk: Desk) -> None:
    study_id, proposals = learnt(desk, 12, 3)
    desk.claim()
    with desk.database.write() as session:
        assert planner.fill_dry(session, worker().tasks, 1, now=desk.now)
        assert enqueue(session, study_id, proposals, now=desk.now) == 3
    assert [(number, origin) for number, origin, *_ in proposed(desk)][5:] == [
        (5, "quasi-random"),
        *((number, "tpe") for number in (6, 7, 8)),
    ]
    rates = [float(proposal.params["lr"]) for proposal in proposals]
    assert [rate for *_, rate in proposed(desk)][6:] == rates


def test_what_moves_up_does_not_pass_the_end_of_the_study(desk: Desk) -> None:
    study_id, proposals = learnt(desk, 7, 2)
    desk.claim()
    with desk.database.write() as session:
        assert planner.fill_dry(session, worker().tasks, 1, now=desk.now)
        stored = [enqueue(session, study_id, proposals, now=desk.now) for _ in range(2)]
    assert stored == [1, 0]


def test_a_study_whose_trials_all_fail_gives_up_and_cancels_the_rest(desk: Desk) -> None:
    study_id = desk.create(cells=6, limits={"max_retries": 0, "max_failures_in_a_row": 3})
    for _ in range(3):
        request = Failure(lease=desk.ref(desk.claim()[0]), error="FileNotFoundError: data")
        with desk.database.write() as session:
            queue.fail(session, request, now=desk.now)
    planner.top_up(desk.database, Histories(), study_id, live=LIVE)
    ended = study(desk, study_id)
    assert (ended.status, "max_failures_in_a_row" in (ended.reason or "")) == ("failed", True)
    assert desk.statuses() == ["failed"] * 3 + ["cancelled"] * 3


@pytest.mark.parametrize("outcome", ["complete", "diverged"])
def test_a_study_with_any_result_is_complete_divergence_included(desk: Desk, outcome: str) -> None:
    study_id = desk.create(cells=1)
    desk.complete(desk.ref(desk.claim()[0]), outcome=outcome)
    planner.top_up(desk.database, Histories(), study_id, live=LIVE)
    assert study(desk, study_id).status == "complete"
