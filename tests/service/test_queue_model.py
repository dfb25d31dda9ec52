"""The queue against a model of itself: whatever calls come in whatever order, both hold the same."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from desk import TTL_S, Desk, token
from hypothesis import settings, strategies
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from contract.leases import Failure, HeartbeatRequest, LeaseRef, Point, Release, TrialReport
from service import models, queue, studies
from service.database import Database
from service.errors import LeaseLost
from service.settings import Settings

CELLS, MAX_LOST, MAX_RETRIES = 4, 2, 1
LOST = "lease lost"


@dataclass
class Modelled:
    """A trial as it should be; `ended` is the token and the outcome of each attempt that is over."""

    status: str = "queued"
    attempt: int = 0
    token: str = ""
    expires: float = 0.0
    lost: int = 0
    failures: int = 0
    points: set[tuple[int, int]] = field(default_factory=set)
    ended: dict[int, tuple[str, str]] = field(default_factory=dict)

    def held_by(self, ref: LeaseRef) -> bool:
        return (self.status, self.attempt, self.token) == ("leased", ref.attempt, ref.token)

    def end(self, status: str, outcome: str) -> None:
        self.status = status
        self.ended[self.attempt] = (self.token, outcome)

    def settle(self, ref: LeaseRef, status: str, outcome: str, also: str) -> str:
        """The answer to an end: the lease is current, or this very end stands already, or it is lost."""
        if self.held_by(ref):
            self.end(status, outcome)
        elif self.ended.get(ref.attempt) not in {(ref.token, outcome), (ref.token, also)}:
            return LOST
        return self.status


class Queue(RuleBasedStateMachine):
    template: ClassVar[Path]
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        shutil.copy(self.template, f"{self.folder}/switchback.db")
        self.desk = Desk(Database(Settings(database=f"sqlite:///{self.folder}/switchback.db")))
        limits = {"max_lost": MAX_LOST, "max_retries": MAX_RETRIES}
        self.study = self.desk.create(cells=CELLS, limits=limits)
        self.clock, self.stopped = 0.0, False
        self.counts: dict[str, int] = {}
        self.trials = {number: Modelled() for number in range(1, CELLS + 1)}

    def teardown(self) -> None:
        self.desk.database.close()
        shutil.rmtree(self.folder)

    def asked(self, call: Any, request: Any) -> Any:
        """The queue's answer to an end of an attempt."""
        try:
            with self.desk.database.write() as session:
                return call(session, request, now=self.desk.now)
        except LeaseLost:
            return LOST

    @rule(target=leases, count=strategies.integers(1, 3))
    def claim(self, count: int) -> Any:
        return self._claim(token(), count)

    @rule(target=leases, ref=leases)
    def claim_again(self, ref: LeaseRef) -> Any:
        return self._claim(ref.token, self.counts[ref.token])

    def _claim(self, mine: str, count: int) -> Any:
        """A token stands for one claim: sent again, it leases nothing new."""
        if mine in self.counts:
            given = [trial for trial, model in self.trials.items() if (model.status, model.token) == ("leased", mine)]
        else:
            given = [trial for trial, model in self.trials.items() if model.status == "queued"][:count]
        for trial in given:
            model = self.trials[trial]
            model.attempt += mine not in self.counts
            model.status, model.token, model.expires = "leased", mine, self.clock + TTL_S
        got = {lease.trial.id: lease.attempt for lease in self.desk.claim(count=count, claim_token=mine)}
        assert got == {trial: self.trials[trial].attempt for trial in given}
        if given:
            self.counts[mine] = count
        return multiple(*(LeaseRef(trial_id=trial, attempt=attempt, token=mine) for trial, attempt in got.items()))

    @rule(ref=leases)
    def heartbeat(self, ref: LeaseRef) -> None:
        model = self.trials[ref.trial_id]
        request = HeartbeatRequest(worker_id="worker-a-00000000", leases=[ref])
        with self.desk.database.write() as session:
            state = queue.heartbeat(session, [request], now=self.desk.now, ttl_s=TTL_S)[0][0]
        held = model.held_by(ref)
        assert (state.held, state.directive) == (held, "continue" if held and not self.stopped else "stop")
        model.expires = self.clock + TTL_S if held else model.expires

    @rule(ref=leases, steps=strategies.sets(strategies.integers(1, 20), min_size=1, max_size=3))
    def report(self, ref: LeaseRef, steps: set[int]) -> None:
        body, model = told(ref, steps), self.trials[ref.trial_id]

        def send(session: Any, request: TrialReport, *, now: Any) -> str:
            queue.report(session, [[request]], now=now, ttl_s=TTL_S)
            return "stored"

        assert self.asked(send, body) == ("stored" if model.held_by(ref) else LOST)
        if model.held_by(ref):
            model.expires = self.clock + TTL_S
            model.points |= {(ref.attempt, step) for step in steps}

    @rule(
        ref=leases,
        outcome=strategies.sampled_from(["complete", "diverged"]),
        steps=strategies.sets(strategies.integers(1, 20), max_size=2),
    )
    def complete(self, ref: LeaseRef, outcome: str, steps: set[int]) -> None:
        model = self.trials[ref.trial_id]
        model.points |= {(ref.attempt, step) for step in steps} if model.held_by(ref) else set()
        try:
            answer: str = self.desk.complete(ref, outcome=outcome, last=told(ref, steps) if steps else None)
        except LeaseLost:
            answer = LOST
        assert answer == model.settle(ref, outcome, outcome, outcome)

    @rule(ref=leases)
    def fail(self, ref: LeaseRef) -> None:
        model = self.trials[ref.trial_id]
        again = "queued" if model.failures < MAX_RETRIES else "failed"
        status, outcome = ("cancelled", "cancelled") if self.stopped else (again, "failed")
        model.failures += model.held_by(ref)
        answer = self.asked(queue.fail, Failure(lease=ref, error="ValueError: no such file"))
        assert answer == model.settle(ref, status, outcome, "failed" if self.stopped else "cancelled")

    @rule(ref=leases)
    def release(self, ref: LeaseRef) -> None:
        status, outcome = ("cancelled", "cancelled") if self.stopped else ("queued", "preempted")
        answer = self.asked(queue.release, Release(lease=ref, reason="the worker drains"))
        also = "preempted" if self.stopped else "cancelled"
        assert answer == self.trials[ref.trial_id].settle(ref, status, outcome, also)

    @rule()
    def sweep(self) -> None:
        expired = [one for one in self.trials.values() if one.status == "leased" and one.expires < self.clock]
        for model in expired:
            status, outcome = ("queued", "lost") if model.lost < MAX_LOST else ("failed", "lost")
            model.end(*(("cancelled", "cancelled") if self.stopped else (status, outcome)))
            model.lost += 1
        assert self.desk.sweep() == len(expired)

    @rule(seconds=strategies.sampled_from([1, TTL_S / 3, TTL_S, TTL_S + 1]))
    def wait(self, seconds: float) -> None:
        self.clock += seconds
        self.desk.later(seconds)

    @precondition(lambda self: self.clock > 2 * TTL_S)  # a stopped study leaves little to do
    @rule()
    def stop(self) -> None:
        with self.desk.database.write() as session:
            studies.stop(session, self.study, now=self.desk.now, reason="stopped by request")
        self.stopped = True
        for model in self.trials.values():
            model.status = "cancelled" if model.status == "queued" else model.status

    @invariant()
    def holds_the_same(self) -> None:
        columns = (models.Trial.id, models.Trial.status, models.Trial.attempt, models.Trial.lost, models.Trial.failures)
        with self.desk.database.read() as session:
            stored = {row[0]: tuple(row[1:]) for row in session.execute(select(*columns))}
            keys = select(models.Point.trial_id, models.Point.attempt, models.Point.step)
            points = {tuple(row) for row in session.execute(keys)}
        assert stored == {
            trial: (one.status, one.attempt, one.lost, one.failures) for trial, one in self.trials.items()
        }
        assert points == {(trial, *point) for trial, one in self.trials.items() for point in one.points}


def told(ref: LeaseRef, steps: set[int]) -> TrialReport:
    points = [Point(step=step, values={"train_loss": 1.0}) for step in steps]
    return TrialReport(lease=ref, total_steps=20, steps_per_epoch=10, points=points)


def run(template: Path, *, examples: int, steps: int) -> None:
    Queue.template = template
    run_state_machine_as_test(Queue, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None))


def test_the_queue_does_what_its_model_does(sqlite_template: Path) -> None:
    run(sqlite_template, examples=8, steps=25)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_queue_does_what_its_model_does_in_depth(sqlite_template: Path) -> None:
    run(sqlite_template, examples=400, steps=60)
