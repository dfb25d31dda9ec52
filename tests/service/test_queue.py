"""The trial protocol on both databases: who holds a trial, and what happens to it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from desk import TTL_S, Desk, token
from sqlalchemy import func, select

from contract.leases import Failure, HeartbeatRequest, LeaseRef, Point, Release, TrialReport
from service import models, queue, studies
from service.errors import InvalidRequest, LeaseLost


def beat(desk: Desk, *refs: LeaseRef) -> list[bool]:
    with desk.database.write() as session:
        request = HeartbeatRequest(worker_id="worker-a-00000000", leases=list(refs))
        return [state.held for state in queue.heartbeat(session, [request], now=desk.now, ttl_s=TTL_S)[0]]


def send(desk: Desk, ref: LeaseRef, *steps: int, loss: float = 1.0) -> None:
    points = [Point(step=step, values={"train_loss": loss}) for step in steps]
    body = TrialReport(lease=ref, total_steps=20, steps_per_epoch=10, points=points)
    with desk.database.write() as session:
        queue.report(session, [[body]], now=desk.now, ttl_s=TTL_S)


def stored_points(desk: Desk) -> int:
    with desk.database.read() as session:
        return session.scalar(select(func.count()).select_from(models.Point)) or 0


def test_trials_are_claimed_oldest_first_and_each_by_one_worker(desk: Desk) -> None:
    desk.create(cells=3)
    claimed = [lease.trial.number for _ in range(4) for lease in desk.claim()]
    assert claimed == [0, 1, 2]


def test_sixteen_concurrent_claimers_never_get_the_same_trial(desk: Desk) -> None:
    desk.create(cells=48)
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(lambda index: desk.claim(name=f"worker-{index % 16}", count=3), range(64)))
    claimed = [lease.trial.id for leases in claims for lease in leases]
    assert len(claimed) == len(set(claimed)) == 48


def test_a_claim_takes_its_share_of_what_waits_and_leaves_the_rest_to_the_idle_workers(desk: Desk) -> None:
    desk.create(cells=12)
    desk.complete(desk.ref(desk.claim(name="worker-b")[0]))
    assert [len(desk.claim(name=name, count=64)) for name in ("worker-a", "worker-b", "worker-a")] == [6, 5, 0]


def test_a_worker_that_is_alone_or_whose_company_is_gone_takes_all_it_can_train(desk: Desk) -> None:
    desk.create(cells=12)
    desk.complete(desk.ref(desk.claim(name="worker-b")[0]))
    desk.later(TTL_S + 1)
    assert len(desk.claim(count=64)) == 11


def test_a_claim_beside_a_trial_gets_more_of_its_kind_in_their_turn_or_nothing(desk: Desk) -> None:
    desk.create(cells=2)
    desk.create(cells=2)
    (one,) = desk.claim(count=1)
    assert [lease.trial.id for lease in desk.claim(count=9, beside=one.trial.id)] == [2]
    assert desk.claim(count=9, beside=one.trial.id) == []
    assert desk.claim(count=1, beside=999) == []
    assert [lease.trial.id for lease in desk.claim(count=9)] == [3, 4]


@pytest.mark.parametrize(("waiting", "given"), [(1, 0), (3, 1), (4, 2)])
def test_a_claim_beside_a_trial_leaves_the_idle_workers_theirs(desk: Desk, waiting: int, given: int) -> None:
    desk.create(cells=waiting + 2)
    desk.complete(desk.ref(desk.claim(name="worker-b")[0]))
    (one,) = desk.claim(count=1)
    assert len(desk.claim(count=64, beside=one.trial.id)) == given


def test_one_claim_takes_trials_of_one_study_only(desk: Desk) -> None:
    first, second = desk.create(cells=3), desk.create(cells=3)
    assert [lease.trial.study_id for lease in desk.claim(count=5)] == [first] * 3
    assert [lease.trial.study_id for lease in desk.claim(count=5)] == [second] * 3


def test_a_worker_gets_only_trials_it_can_train(desk: Desk) -> None:
    desk.create(task={"dataset": "digits", "model": "cnn"})
    assert desk.claim() == []


def test_the_same_claim_sent_again_returns_the_same_leases(desk: Desk) -> None:
    desk.create(cells=4)
    lost = token()
    first, again = desk.claim(count=2, claim_token=lost), desk.claim(count=2, claim_token=lost)
    assert first == again
    assert desk.statuses().count("leased") == 2


def test_a_claim_that_arrives_once_more_after_its_trials_have_ended_leases_nothing(desk: Desk) -> None:
    desk.create(cells=3)
    used = token()
    desk.complete(desk.ref(desk.claim(claim_token=used)[0]))
    assert desk.claim(claim_token=used) == []
    assert desk.statuses() == ["complete", "queued", "queued"]


@pytest.mark.parametrize("other", [{"name": "worker-b"}, {"count": 1}])
def test_another_claim_with_a_token_that_was_used_is_refused(desk: Desk, other: dict[str, Any]) -> None:
    desk.create(cells=4)
    used = token()
    desk.claim(count=2, claim_token=used)
    with pytest.raises(InvalidRequest, match="token: must be a fresh one"):
        desk.claim(**({"count": 2} | other), claim_token=used)
    assert desk.statuses().count("leased") == 2


def test_hundreds_of_copies_of_one_claim_lease_once(desk: Desk) -> None:
    desk.create(cells=8)
    used = token()
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: desk.claim(count=2, claim_token=used), range(300)))
    assert {tuple(lease.trial.id for lease in leases) for leases in claims} == {(1, 2)}
    assert desk.statuses().count("leased") == 2


def test_a_claim_sent_again_renews_its_leases(desk: Desk) -> None:
    desk.create(cells=1)
    lost = token()
    desk.claim(claim_token=lost)
    desk.later(TTL_S - 1)
    desk.claim(claim_token=lost)
    desk.later(TTL_S - 1)
    assert desk.sweep() == 0


def test_an_expired_lease_is_requeued_and_its_old_holder_is_refused_everything(desk: Desk) -> None:
    desk.create(cells=1)
    old = desk.ref(desk.claim()[0])
    desk.later(TTL_S + 1)
    assert desk.sweep() == 1
    new = desk.claim(name="worker-b")[0]
    assert new.attempt == 2
    with pytest.raises(LeaseLost):
        desk.complete(old)
    with pytest.raises(LeaseLost):
        send(desk, old, 1)
    assert beat(desk, old) == [False]
    assert desk.complete(desk.ref(new)) == "complete"


def test_the_token_of_a_later_attempt_does_not_open_an_earlier_one(desk: Desk) -> None:
    desk.create(cells=1)
    first = desk.ref(desk.claim()[0])
    desk.later(TTL_S + 1)
    desk.sweep()
    second = desk.ref(desk.claim()[0])
    mixed = [first.model_copy(update={"token": second.token}), second.model_copy(update={"token": first.token})]
    assert beat(desk, *mixed, second) == [False, False, True]


def test_a_heartbeat_keeps_a_lease_past_its_first_expiry(desk: Desk) -> None:
    desk.create(cells=1)
    ref = desk.ref(desk.claim()[0])
    desk.later(TTL_S - 1)
    assert beat(desk, ref) == [True]
    desk.later(TTL_S - 1)
    assert desk.sweep() == 0


def test_a_sweep_never_overwrites_a_completion(desk: Desk) -> None:
    desk.create(cells=1)
    ref = desk.ref(desk.claim()[0])
    desk.later(TTL_S + 1)
    desk.complete(ref)
    assert desk.sweep() == 0
    assert desk.statuses() == ["complete"]


def test_a_completion_sent_again_is_acknowledged_again_and_another_result_is_refused(desk: Desk) -> None:
    desk.create(cells=1)
    ref = desk.ref(desk.claim()[0])
    assert desk.complete(ref) == desk.complete(ref) == "complete"
    with pytest.raises(LeaseLost):
        desk.complete(ref, outcome="diverged")


def test_a_completion_after_the_same_attempt_failed_is_refused(desk: Desk) -> None:
    desk.create(cells=1)
    ref = desk.ref(desk.claim()[0])
    with desk.database.write() as session:
        queue.fail(session, Failure(lease=ref, error="ValueError: no such file"), now=desk.now)
    with pytest.raises(LeaseLost):
        desk.complete(ref)


def test_points_are_stored_once_however_often_they_are_sent(desk: Desk) -> None:
    desk.create(cells=1)
    ref = desk.ref(desk.claim()[0])
    for _ in range(3):
        send(desk, ref, 1, 2, 3)
    assert stored_points(desk) == 3


def test_a_thousand_leases_in_one_request_are_told_apart(desk: Desk) -> None:
    desk.create(cells=1)
    ref = desk.ref(desk.claim()[0])
    strangers = [ref.model_copy(update={"trial_id": number}) for number in range(2, 1_025)]
    assert beat(desk, ref, *strangers) == [True] + [False] * 1_023


def test_a_batch_with_one_stale_lease_stores_nothing(desk: Desk) -> None:
    desk.create(cells=2)
    good, bad = (desk.ref(lease) for lease in desk.claim(count=2))
    bad = bad.model_copy(update={"token": token()})
    bodies = [
        TrialReport(lease=ref, total_steps=20, steps_per_epoch=10, points=[Point(step=1, values={"train_loss": 1.0})])
        for ref in (good, bad)
    ]
    with pytest.raises(LeaseLost, match=f"trial {bad.trial_id} "), desk.database.write() as session:
        queue.report(session, [bodies], now=desk.now, ttl_s=TTL_S)
    assert stored_points(desk) == 0


def test_a_failure_is_retried_as_often_as_the_study_allows_and_then_stays_failed(desk: Desk) -> None:
    desk.create(cells=1, limits={"max_retries": 1})
    for expected in ("queued", "failed"):
        request = Failure(lease=desk.ref(desk.claim()[0]), error="ValueError: no such file")
        with desk.database.write() as session:
            assert queue.fail(session, request, now=desk.now) == expected


def test_lost_workers_and_failures_are_counted_apart_and_a_poison_trial_ends(desk: Desk) -> None:
    desk.create(cells=1, limits={"max_lost": 2, "max_retries": 0})
    for _ in range(3):
        assert desk.claim()
        desk.later(TTL_S + 1)
        desk.sweep()
    assert desk.statuses() == ["failed"]
    with desk.database.read() as session:
        trial = session.scalars(select(models.Trial)).one()
    assert (trial.lost, trial.failures) == (3, 0)
    assert "limits.max_lost" in (trial.reason or "")


def test_a_released_trial_is_claimable_at_once(desk: Desk) -> None:
    desk.create(cells=1)
    request = Release(lease=desk.ref(desk.claim()[0]), reason="the worker drains")
    with desk.database.write() as session:
        assert queue.release(session, request, now=desk.now) == "queued"
    assert desk.claim(name="worker-b")[0].attempt == 2


def test_stopping_a_study_cancels_what_is_queued_and_tells_the_running_trial_to_stop(desk: Desk) -> None:
    study_id = desk.create(cells=2)
    ref = desk.ref(desk.claim()[0])
    with desk.database.write() as session:
        studies.stop(session, study_id, now=desk.now, reason="stopped by request")
        request = HeartbeatRequest(worker_id="worker-a-00000000", leases=[ref])
        states = queue.heartbeat(session, [request], now=desk.now, ttl_s=TTL_S)[0]
    assert [state.directive for state in states] == ["stop"]
    assert desk.statuses() == ["leased", "cancelled"]


def test_a_completion_without_the_objective_is_a_failure_that_names_it(desk: Desk) -> None:
    desk.create(cells=1, objective={"metric": "val_f1", "direction": "maximize"})
    assert desk.complete(desk.ref(desk.claim()[0])) == "failed"
    with desk.database.read() as session:
        reason = session.scalars(select(models.Trial.reason)).one()
    assert reason == "objective.metric: must be a metric the task reports (val_loss), got 'val_f1'"
