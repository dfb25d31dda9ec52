"""Keeps every running study's queue filled and ends the studies that are done.

Proposing may take a sampler long, so it happens outside any transaction: history is read, proposals are computed, and a
guarded write stores them only if nobody else has gone on numbering meanwhile. A claim never waits for this.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from math import inf
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contract.studies import CreateStudy, StudyStatus
from contract.trials import TrialStatus
from service import queue, studies
from service.database import Database
from service.errors import Overloaded
from service.lifecycle import LIVE, STATUSES
from service.models import Study, Trial, Worker
from service.search import strategy_for
from service.search.strategy import Observation, SpaceError
from service.settings import Settings

log = logging.getLogger(__name__)

LATE = 3
"""Sweeps missed in a row that make an outage."""

Result = TypeVar("Result")


def top_up(database: Database, study_id: int, *, live: timedelta) -> None:
    """Queue what the study's strategy proposes next, or end the study when there is nothing left to wait for."""
    with database.read() as session:
        study = session.get(Study, study_id)
        if study is None or study.status != "running" or study.paused_at is not None:
            return
        definition = CreateStudy.model_validate(study.definition)
        strategy = strategy_for(definition)
        counts = _counts(session, study_id)
        wanted = strategy.ahead(_slots(session, study, live)) - counts["queued"]
        limit = definition.limits.max_failures_in_a_row
        failing = _only_failures(session, study_id, limit)
        history = _history(session, study) if wanted > 0 and strategy.learns and not failing else []
    if failing:
        _fail(database, study, f"the last {limit} trials failed (limits.max_failures_in_a_row); see their reasons")
        return
    try:
        proposals = strategy.propose(history, study.next_number, wanted) if wanted > 0 else []
    except SpaceError as error:
        _fail(database, study, f"trial {study.next_number} cannot be built: {error}")
        return
    if proposals:
        with database.write() as session:
            studies.enqueue(session, study, proposals, now=database.now(session))
    elif wanted > 0 and counts["queued"] + counts["leased"] == 0:
        _end(database, study, usable=counts["complete"] + counts["diverged"] > 0)


def fill_dry(session: Session, tasks: Sequence[str], *, now: datetime) -> bool:
    """A claim found nothing queued: queue a quasi-random point of a study these tasks serve, if one has trials left."""
    running = select(Study).where(Study.status == "running", Study.paused_at.is_(None), Study.task_key.in_(tasks))
    for study in session.scalars(running.order_by(Study.id).with_for_update(skip_locked=True)):
        proposal = strategy_for(CreateStudy.model_validate(study.definition)).fallback(study.next_number)
        if proposal is not None and studies.enqueue(session, study, [proposal], now=now):
            return True
    return False


def _fail(database: Database, study: Study, reason: str) -> None:
    with database.write() as session:
        studies.stop(session, study.id, now=database.now(session), status="failed", reason=reason)


def _end(database: Database, study: Study, *, usable: bool) -> None:
    status: StudyStatus = "complete" if usable else "failed"
    reason = None if usable else "no trial finished with a result; see their reasons"
    with database.write() as session:
        studies.finish(session, study.id, status, reason, now=database.now(session))


def _counts(session: Session, study_id: int) -> dict[TrialStatus, int]:
    grouped = select(Trial.status, func.count()).where(Trial.study_id == study_id).group_by(Trial.status)
    return dict.fromkeys(STATUSES, 0) | dict(session.execute(grouped).all())


def _only_failures(session: Session, study_id: int, count: int) -> bool:
    """Whether the last `count` trials that ended have all failed."""
    ended = select(Trial.status).where(Trial.study_id == study_id, Trial.finished_at.is_not(None))
    last = session.scalars(ended.order_by(Trial.finished_at.desc(), Trial.number.desc()).limit(count)).all()
    return len(last) == count and set(last) == {"failed"}


def _history(session: Session, study: Study) -> list[Observation]:
    sign = -1.0 if study.definition["objective"]["direction"] == "maximize" else 1.0
    columns = (Trial.number, Trial.family, Trial.params, Trial.status, Trial.objective)
    rows = session.execute(select(*columns).where(Trial.study_id == study.id).order_by(Trial.number))
    losses = (
        (row, inf if row.status == "diverged" else sign * row.objective if row.status == "complete" else None)
        for row in rows
    )
    return [
        Observation(number=row.number, family=row.family, params=row.params, loss=loss, over=row.status not in LIVE)
        for row, loss in losses
    ]


def _slots(session: Session, study: Study, live: timedelta) -> int:
    """How many trials of this study the connected workers can run at a time."""
    # Compared with this process's own clock on purpose: only a queue depth depends on it, never a lease.
    newest = session.scalars(select(Worker).order_by(Worker.last_seen_at.desc()).limit(10_000)).all()
    if not newest:
        return 1
    latest = newest[0].last_seen_at
    return max(1, sum(study.task_key in worker.tasks for worker in newest if worker.last_seen_at > latest - live))


STALLED_S = 120.0
"""A planner that has not come round for so long is stuck: its longest step, a proposal, takes seconds."""


class Planner:
    """A thread that tops up studies when woken, and sweeps expired leases on a beat."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._live = timedelta(seconds=settings.lease_ttl_s)
        self._sweep_every = timedelta(seconds=settings.sweep_s)
        self._next_sweep = self._came_round = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="planner", daemon=True)

    def start(self) -> None:
        """Give the outage back to the leases, then begin."""
        with self._database.write() as session:
            outage = queue.extend_over_outage(session, now=self._database.now(session))
        if outage > timedelta(seconds=self._settings.sweep_s):
            log.info("leases extended by %.0f s, the time no service ran", outage.total_seconds())
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread runs and has lately come round."""
        return self._thread.is_alive() and time.monotonic() - self._came_round < STALLED_S

    def wake(self) -> None:
        """Something has ended or been claimed: look now instead of at the next beat."""
        self._wake.set()

    def close(self) -> None:
        """Stop after the step under way."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        beat = min(1.0, self._settings.sweep_s)
        while not self._stop.is_set():
            self._came_round = time.monotonic()
            self._wake.wait(beat)
            self._wake.clear()
            if time.monotonic() >= self._next_sweep:
                self._next_sweep = time.monotonic() + self._settings.sweep_s
                self._guarded(self._sweep)
            for study_id in self._guarded(self._running) or ():
                self._guarded(partial(top_up, self._database, study_id, live=self._live))

    def _guarded(self, step: Callable[[], Result]) -> Result | None:
        """The thread outlives a database that is away for a while, and one study's trouble is not another's."""
        try:
            return step()
        except Overloaded as error:
            log.warning("planning has to wait: %s", error)
        except Exception:
            log.exception("planning failed; trying again soon")
        self._stop.wait(0.1)
        return None

    def _running(self) -> list[int]:
        with self._database.read() as session:
            return list(session.scalars(select(Study.id).where(Study.status == "running").order_by(Study.id)))

    def _sweep(self) -> None:
        with self._database.write() as session:
            now = self._database.now(session)
            outage = queue.extend_over_outage(session, now=now, tolerated=LATE * self._sweep_every)
            expired = queue.sweep(session, now=now)
        if outage:
            log.warning("leases extended by %.0f s, in which nothing could be written", outage.total_seconds())
        if expired:
            log.warning("%d leases expired; their trials are queued again", expired)
