"""What must not depend on who comes first: the reaper against completions, and one request sent by many at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from desk import T0, TTL_S, Desk, definition, token, worker
from sqlalchemy import event, func, select

from contract.leases import ClaimRequest, LeaseRef, Point, TrialReport
from service import idempotency, models, queue, studies, sweep
from service.errors import InFlight, LeaseLost
from service.queue import Claim

TRIALS = 50


def lapsed(desk: Desk, count: int) -> list[LeaseRef]:
    """Leases of one study that have just run out, not yet swept."""
    desk.create(cells=count, limits={"max_lost": 1_000})
    refs = [desk.ref(lease) for lease in desk.claim(count=count)]
    desk.later(TTL_S + 1)
    return refs


def completed(desk: Desk, ref: LeaseRef) -> bool:
    try:
        return desk.complete(ref) == "complete"
    except LeaseLost:
        return False


def interleaved(desk: Desk, draw: random.Random, pool: ThreadPoolExecutor) -> list[tuple[LeaseRef, bool]]:
    """A sweep over expired leases whose holders complete them before, in the middle of, and after its statements.

    On SQLite, where nobody writes beside a writer, those in the middle wait for its end; on PostgreSQL they commit at
    once, or wait for the row.
    """
    refs = lapsed(desk, TRIALS)
    early, during = draw.sample(refs, TRIALS // 5), draw.sample(refs, TRIALS // 2)
    moments = [draw.randint(1, TRIALS) for _ in during]
    answers = [(ref, completed(desk, ref)) for ref in early]
    started: list[tuple[LeaseRef, Future[bool]]] = []
    statements = 0

    def strike(*executed: Any) -> None:  # SQLAlchemy's six arguments, of which the third is the statement
        nonlocal statements
        statement = executed[2]
        if "SET status" in statement or statement.startswith("SELECT trials.id, trials.attempt, trials.lost"):
            statements += 1
            for ref, moment in zip(during, moments, strict=True):
                if moment == statements:
                    started.append((ref, pool.submit(completed, desk, ref)))

    with desk.database.write() as session:
        connection = session.connection()
        event.listen(connection, "after_cursor_execute", strike)
        sweep.sweep(session, now=desk.now)
        event.remove(connection, "after_cursor_execute", strike)
    answers += [(ref, future.result()) for ref, future in started]
    return answers + [(ref, completed(desk, ref)) for ref in refs]


def overwritten(desk: Desk, answers: list[tuple[LeaseRef, bool]]) -> list[int]:
    """Trials whose state is not the one that was acknowledged: completed when told so, queued again when refused."""
    told: dict[int, bool] = {}
    for ref, done in answers:
        told[ref.trial_id] = told.get(ref.trial_id, False) or done
    with desk.database.read() as session:
        rows = session.execute(select(models.Trial.id, models.Trial.status).where(models.Trial.id.in_(told)))
        return [trial for trial, status in rows if status != ("complete" if told[trial] else "queued")]


def race(desk: Desk, rounds: int) -> tuple[int, int, list[int]]:
    """Interleavings tried, completions acknowledged, trials overwritten."""
    draw, tried, done, wrong = random.Random(1), 0, 0, []
    with ThreadPoolExecutor(8) as pool:
        for _ in range(rounds):
            answers = interleaved(desk, draw, pool)
            tried, done = tried + len(answers), done + sum(answer for _, answer in answers)
            wrong += overwritten(desk, answers)
            with desk.database.write() as session:  # so that the next round claims its own trials
                queue.cancel_queued(session, session.scalar(select(func.max(models.Study.id))), now=T0, reason="over")
    return tried, done, wrong


def test_the_reaper_overwrites_no_completion_in_300_interleavings(desk: Desk) -> None:
    tried, done, wrong = race(desk, 4)
    assert wrong == []
    assert tried >= 300
    assert 0 < done < tried


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_reaper_overwrites_no_completion_in_10_000_interleavings(desk: Desk) -> None:
    tried, _, wrong = race(desk, 130)
    assert wrong == []
    assert tried >= 10_000


def storm(desk: Desk, key: str, pool: ThreadPoolExecutor) -> list[set[object]]:
    """A creation, the claim of its trial, a report and its completion, four copies of each at once; the answers."""

    def copies(send: Callable[[], object]) -> set[object]:
        return set(pool.map(lambda _: send(), range(4)))

    body, mine = definition(cells=1), token()

    def create() -> object:
        try:
            with desk.database.write() as session:
                made = partial(studies.create, session, body, now=desk.now)
                return idempotency.once(session, key, body, made, asker="", now=desk.now)[0]
        except InFlight:  # the SDK asks again
            return None

    def claim() -> object:
        return tuple((lease.trial.id, lease.attempt) for lease in desk.claim(claim_token=mine))

    created, claimed = copies(create) - {None}, copies(claim)
    ((trial, attempt),) = next(iter(claimed))
    ref = LeaseRef(trial_id=trial, attempt=attempt, token=mine)
    points = [Point(step=step, values={"train_loss": 1.0}) for step in range(1, 11)]
    reports = [TrialReport(lease=ref, total_steps=20, steps_per_epoch=10, points=points)]

    def report() -> object:
        with desk.database.write() as session:
            return queue.report(session, [reports], now=desk.now, ttl_s=TTL_S)[0][0].held

    return [created, claimed, copies(report), copies(lambda: desk.complete(ref))]


def storms(desk: Desk, count: int) -> tuple[bool, tuple[float, ...]]:
    """Whether each request of each storm had one answer; then studies, attempts, points, and the seconds booked."""
    with ThreadPoolExecutor(4) as pool:
        alike = all(len(answers) == 1 for number in range(count) for answers in storm(desk, f"key {number}", pool))
    booked = func.coalesce(func.sum(models.Trial.device_seconds), 0.0)
    tables = (models.Study, models.Attempt, models.Point)
    with desk.database.read() as session:
        counts = [session.scalar(select(func.count()).select_from(one)) or 0 for one in tables]
        return alike, (*counts, session.scalar(select(booked)) or 0.0)


def test_a_storm_of_duplicates_has_one_effect_each(desk: Desk) -> None:
    assert storms(desk, 10) == (True, (10, 10, 100, 10.0))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_1_000_storms_of_duplicates_have_one_effect_each(desk: Desk) -> None:
    assert storms(desk, 1_000) == (True, (1_000, 1_000, 10_000, 1_000.0))


def test_one_token_claimed_twice_at_once_leases_once(desk: Desk) -> None:
    desk.create(cells=3)
    request = ClaimRequest(worker=worker(), token=token())
    leased, go_on = threading.Event(), threading.Event()

    def claim(*, hold: bool) -> list[int]:
        with desk.database.write() as session:
            (leases,) = queue.claim(session, [Claim(request)], now=desk.now, ttl_s=TTL_S)
            leased.set()
            assert not hold or go_on.wait(10)
        return [lease.trial.id for lease in leases]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(claim, hold=True)
        assert leased.wait(10)
        second = pool.submit(claim, hold=False)
        with pytest.raises(TimeoutError):  # it waits for the first, whose lease nobody can see yet
            second.result(timeout=0.3)
        go_on.set()
        assert first.result(10) == second.result(10)
    assert desk.statuses() == ["leased", "queued", "queued"]
