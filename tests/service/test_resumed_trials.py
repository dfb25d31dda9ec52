"""A trial goes on from its last committed checkpoint, and its curve is made of what was not thrown away."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from desk import TTL_S, Desk

from contract.leases import Lease, Point, TrialReport
from service import artifacts, queue, results
from service.artifact_store import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "artifacts")


def report(desk: Desk, lease: Lease, *steps: int, resumed_from: int | None = None) -> None:
    points = [Point(step=step, values={"train_loss": float(lease.attempt)}) for step in steps]
    body = TrialReport(
        lease=desk.ref(lease), total_steps=20, steps_per_epoch=10, points=points, resumed_from=resumed_from
    )
    with desk.database.write() as session:
        queue.report(session, [[body]], now=desk.now, ttl_s=TTL_S)


def checkpoint(desk: Desk, folder: Folder, lease: Lease, step: int) -> None:
    data = f"{lease.attempt} {step}".encode()
    upload = artifacts.Upload(folder, size=len(data), digest=sha256(data).hexdigest())
    upload.write(data)
    upload.finish()
    with desk.database.write() as session:
        artifacts.record(session, desk.ref(lease), "checkpoint", upload, step=step, now=desk.now, expires=desk.now)


def next_attempt(desk: Desk) -> Lease:
    desk.later(TTL_S + 1)
    desk.sweep()
    return desk.claim()[0]


def curve(desk: Desk) -> list[tuple[int, float | None]]:
    with desk.database.read() as session:
        found = results.curve(session, 1, points=100).curves[0]
    return list(zip(found.steps, found.values["train_loss"], strict=True))


def test_a_lease_carries_the_last_checkpoint_of_any_attempt(desk: Desk, folder: Folder) -> None:
    desk.create(cells=1)
    first = desk.claim()[0]
    checkpoint(desk, folder, first, 4)
    checkpoint(desk, folder, first, 8)
    second = next_attempt(desk)
    assert first.checkpoint is None
    assert second.checkpoint is not None
    assert (second.checkpoint.attempt, second.checkpoint.step) == (1, 8)
    third = next_attempt(desk)
    assert third.checkpoint == second.checkpoint


def test_a_resumed_curve_is_the_old_up_to_the_checkpoint_and_the_new_after_it(desk: Desk, folder: Folder) -> None:
    desk.create(cells=1)
    first = desk.claim()[0]
    report(desk, first, 2, 4, 6)
    checkpoint(desk, folder, first, 4)
    second = next_attempt(desk)
    report(desk, second, 6, 8, resumed_from=4)
    checkpoint(desk, folder, second, 6)
    third = next_attempt(desk)
    report(desk, third, 8, 10, resumed_from=6)
    assert curve(desk) == [(2, 1.0), (4, 1.0), (6, 2.0), (8, 3.0), (10, 3.0)]


def test_an_attempt_that_began_anew_shows_nothing_of_the_run_before_it(desk: Desk, folder: Folder) -> None:
    desk.create(cells=1)
    first = desk.claim()[0]
    report(desk, first, 2, 4)
    checkpoint(desk, folder, first, 4)
    report(desk, next_attempt(desk), 3)
    assert curve(desk) == [(3, 2.0)]


def test_an_attempt_resumed_twice_from_one_checkpoint_skips_the_run_between(desk: Desk, folder: Folder) -> None:
    desk.create(cells=1)
    first = desk.claim()[0]
    report(desk, first, 2, 4)
    checkpoint(desk, folder, first, 4)
    report(desk, next_attempt(desk), 6, resumed_from=4)
    report(desk, next_attempt(desk), 7, resumed_from=4)
    assert curve(desk) == [(2, 1.0), (4, 1.0), (7, 3.0)]


def test_progress_begins_at_the_checkpoint_and_the_attempt_says_so(desk: Desk, folder: Folder) -> None:
    desk.create(cells=1)
    first = desk.claim()[0]
    report(desk, first, 9)
    checkpoint(desk, folder, first, 4)
    next_attempt(desk)
    with desk.database.read() as session:
        view = results.trial(session, 1)
    assert (view.steps_done, [attempt.resumed_from for attempt in view.attempts]) == (4, [None, 4])


def test_a_trial_without_a_checkpoint_begins_at_nothing_again(desk: Desk) -> None:
    desk.create(cells=1)
    report(desk, desk.claim()[0], 9)
    assert next_attempt(desk).checkpoint is None
    with desk.database.read() as session:
        assert results.trial(session, 1).steps_done == 0
