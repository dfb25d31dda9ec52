"""Requests of workers that come at one moment: done in the same statements, answered as if each had come alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from desk import TTL_S, Desk, token, worker
from sqlalchemy import func, select

from contract.leases import (
    ClaimRequest,
    Completion,
    CompletionBatch,
    HeartbeatRequest,
    Lease,
    LeaseRef,
    Point,
    TrialReport,
)
from service.clerk import Clerk
from service.errors import Conflict, LeaseLost, ServiceError
from service.jobs import Job, Joint
from service.models import Attempt, Trial
from service.models import Point as Row
from service.queue import Claim


class Moment:
    """The clerk, and requests of one moment put to it as the writer does."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.clerk = desk, Clerk(desk.database, ttl_s=TTL_S)

    def answers(self, *jobs: Job[Any]) -> list[Any]:
        """In one transaction; what each was answered, or refused with."""
        return list(self.desk.database.write_together([(job, ()) for job in jobs]))

    def claim(self, request: ClaimRequest, access: int | None = None) -> Job[list[Lease]]:
        return Joint(self.clerk.claims, Claim(request, access))

    def report(self, ref: LeaseRef, *steps: int) -> Job[Any]:
        return Joint(self.clerk.reports, [told(ref, *steps)])

    def complete(
        self, *refs: LeaseRef, outcome: str = "complete", last: Sequence[TrialReport] = (), **metrics: float
    ) -> Job[Any]:
        body: dict[str, Any] = {"outcome": outcome, "steps_done": 20, "device_seconds": 1.0, "engine": "solo"}
        body |= {"metrics": metrics or {"val_loss": 0.5}}
        ends = [Completion.model_validate(body | {"lease": ref}) for ref in refs]
        return Joint(self.clerk.completions, CompletionBatch(completions=ends, reports=list(last)))

    def held(self, count: int) -> list[LeaseRef]:
        """Leases claimed at one moment, by workers of their own."""
        asked = [claimed(index) for index in range(count)]
        leases = self.answers(*map(self.claim, asked))
        return [reference(found, request) for found, request in zip(leases, asked, strict=True)]


def told(ref: LeaseRef, *steps: int) -> TrialReport:
    points = [Point(step=step, values={"train_loss": float(step)}) for step in steps]
    return TrialReport(lease=ref, total_steps=20, steps_per_epoch=10, points=points)


def claimed(index: int = 0, **changes: Any) -> ClaimRequest:
    return ClaimRequest.model_validate({"worker": worker(f"worker-{index}"), "token": token()} | changes)


def reference(leases: list[Lease], request: ClaimRequest) -> LeaseRef:
    (lease,) = leases
    return LeaseRef(trial_id=lease.trial.id, attempt=lease.attempt, token=request.token)


def test_claims_of_one_moment_get_a_trial_each_the_oldest_first_and_each_its_own_lease(desk: Desk) -> None:
    moment = Moment(desk)
    first, second = desk.create(cells=2), desk.create(cells=3)
    refs = moment.held(5)
    assert [ref.trial_id for ref in refs] == [1, 2, 3, 4, 5]
    beats = [HeartbeatRequest(worker_id=worker().id, leases=[ref]) for ref in refs]
    beats.append(HeartbeatRequest(worker_id=worker().id, leases=[refs[0].model_copy(update={"token": refs[1].token})]))
    states = moment.answers(*(Joint(moment.clerk.heartbeats, beat) for beat in beats))
    assert [state.held for found in states for state in found] == [True] * 5 + [False]
    with desk.database.read() as session:
        found = session.execute(select(Attempt.trial_id, Attempt.worker_id).order_by(Attempt.trial_id)).all()
    assert found == [(trial, f"worker-{trial - 1}-00000000") for trial in range(1, 6)]
    assert (first, second) == (1, 2)


def test_one_claim_sent_twice_at_one_moment_gets_one_trial(desk: Desk) -> None:
    moment, request = Moment(desk), claimed()
    desk.create(cells=3)
    once, again, other = moment.answers(*map(moment.claim, (request, request, claimed(1))))
    assert [lease.trial.id for found in (once, again, other) for lease in found] == [1, 1, 2]
    assert desk.statuses() == ["leased", "leased", "queued"]


def test_claims_of_other_tasks_and_of_several_trials_share_the_moment(desk: Desk) -> None:
    moment = Moment(desk)
    desk.create(cells=4)
    desk.create(cells=2, task={"dataset": "digits", "model": "cnn"})
    asked = [claimed(0), claimed(1, max_trials=2), claimed(2, worker=worker("worker-2", ("digits/cnn",)))]
    found = moment.answers(*map(moment.claim, asked))
    assert [[lease.trial.id for lease in leases] for leases in found] == [[1], [2, 3], [5]]


def test_claims_that_find_the_queue_dry_are_given_a_point_each(desk: Desk) -> None:
    moment, study = Moment(desk), {"search": {"method": "tpe", "trials": 20}}
    desk.create(**study, space={"schedules": ["constant"], "lr": {"low": 1e-4, "high": 1.0, "log": True}})
    queued = len(desk.statuses())
    assert len({ref.trial_id for ref in moment.held(queued + 4)}) == queued + 4


def test_a_worker_that_came_with_another_access_token_is_refused_and_no_other_claim_is(desk: Desk) -> None:
    moment = Moment(desk)
    desk.create(cells=3)
    mine, theirs, other = moment.answers(
        moment.claim(claimed(0)), moment.claim(claimed(0), access=7), moment.claim(claimed(1))
    )
    assert (type(theirs), len(mine), len(other)) == (Conflict, 1, 1)


def test_reports_of_one_moment_are_stored_and_a_stale_one_among_them_is_refused_alone(desk: Desk) -> None:
    moment = Moment(desk)
    desk.create(cells=3)
    refs = moment.held(3)
    stale = refs[1].model_copy(update={"attempt": 9})
    jobs = [moment.report(refs[0], 1, 2), moment.report(stale, 3), moment.report(refs[2], 4), moment.report(refs[0], 2)]
    answers = moment.answers(*jobs)
    assert [isinstance(answer, LeaseLost) for answer in answers] == [False, True, False, False]
    with desk.database.read() as session:
        rows = session.execute(select(Row.trial_id, Row.step).order_by(Row.trial_id, Row.step)).all()
    assert rows == [(1, 1), (1, 2), (3, 4)]
    assert [state.held for state in moment.answers(*jobs[2:])[0]] == [True]


def test_a_trial_reported_on_twice_at_one_moment_is_as_far_as_the_farther_report(desk: Desk) -> None:
    moment = Moment(desk)
    desk.create(cells=1)
    (ref,) = moment.held(1)
    moment.answers(moment.report(ref, 7), moment.report(ref, 3, 4))
    with desk.database.read() as session:
        assert session.get_one(Trial, ref.trial_id).steps_done == 7


def test_trials_completed_at_one_moment_end_each_with_its_own_result(desk: Desk) -> None:
    moment = Moment(desk)
    desk.create(cells=4)
    refs = moment.held(4)
    jobs = [
        moment.complete(refs[0], refs[1]),
        moment.complete(refs[2], outcome="diverged", train_loss=9.0),
        moment.complete(refs[3], accuracy=0.5),
    ]
    assert moment.answers(*jobs) == [["complete", "complete"], ["diverged"], ["failed"]]
    assert moment.answers(*jobs) == [["complete", "complete"], ["diverged"], ["failed"]]
    with desk.database.read() as session:
        assert session.scalar(select(func.count()).where(Attempt.ended_at.is_(None))) == 0


def test_the_last_points_of_a_trial_are_stored_with_its_result_and_count_once(desk: Desk) -> None:
    moment = Moment(desk)
    desk.create(cells=3)
    refs = moment.held(3)
    moment.answers(moment.report(refs[0], 1, 2))
    jobs = [
        moment.complete(refs[0], refs[1], last=[told(refs[0], 2, 3)]),
        moment.complete(refs[2], outcome="diverged", last=[told(refs[2], 1)]),
    ]
    for _ in range(2):
        assert moment.answers(*jobs) == [["complete", "complete"], ["diverged"]]
    with desk.database.read() as session:
        stored = session.execute(select(Row.trial_id, Row.step).order_by(Row.trial_id, Row.step)).all()
        found = session.execute(select(Trial.total_steps, Trial.steps_per_epoch).order_by(Trial.id)).all()
    assert stored == [(1, 1), (1, 2), (1, 3), (3, 1)]
    assert found == [(20, 10), (None, None), (20, 10)]


def test_the_points_of_a_result_that_is_refused_are_not_stored(desk: Desk) -> None:
    moment = Moment(desk)
    desk.create(cells=2)
    refs = moment.held(2)
    forged = refs[1].model_copy(update={"token": token()})
    last = [told(refs[0], 1), told(forged, 1)]
    (refused,) = moment.answers(moment.complete(refs[0], forged, last=last))
    assert (type(refused), desk.statuses()) == (LeaseLost, ["leased", "leased"])
    (own,) = moment.answers(moment.complete(refs[1]))
    (late,) = moment.answers(moment.complete(refs[1], outcome="diverged", last=[told(refs[1], 2)]))
    assert (own, type(late)) == (["complete"], LeaseLost)
    with desk.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Row)) == 0


def test_a_stale_completion_refuses_its_batch_and_no_other(desk: Desk) -> None:
    moment = Moment(desk)
    desk.create(cells=3)
    refs = moment.held(3)
    forged = refs[1].model_copy(update={"token": token()})
    other, own = moment.answers(moment.complete(refs[2]), moment.complete(refs[0], forged))
    assert (other, type(own)) == (["complete"], LeaseLost)
    assert desk.statuses() == ["leased", "leased", "complete"]
    forged, own = moment.answers(moment.complete(forged), moment.complete(refs[1]))
    assert (type(forged), own) == (LeaseLost, ["complete"])


def test_what_one_does_is_seen_by_those_that_come_with_it(desk: Desk) -> None:
    moment = Moment(desk)
    desk.create(cells=1)
    (ref,) = moment.held(1)
    done, late = moment.answers(moment.complete(ref), moment.report(ref, 5))
    assert done == ["complete"]
    assert isinstance(late, ServiceError)


def test_all_kinds_at_one_moment_at_the_time_of_the_transaction(desk: Desk) -> None:
    moment = Moment(desk)
    desk.create(cells=4)
    one, two = moment.held(2)
    beat = Joint(moment.clerk.heartbeats, HeartbeatRequest(worker_id=worker("worker-1").id, leases=[two]))
    claim, done, reported, states = moment.answers(
        moment.claim(claimed(5)), moment.complete(one), moment.report(two, 1), beat
    )
    assert ([lease.trial.id for lease in claim], done) == ([3], ["complete"])
    assert [state.held for state in (*reported, *states)] == [True, True]
    with desk.database.read() as session:
        started = session.scalar(select(Attempt.started_at).where(Attempt.trial_id == 3))
    assert started is not None
    assert abs((datetime.now(UTC) - started).total_seconds()) < 60
