"""Keeps every running study's queue filled and ends the studies that are done.

Proposing may take a sampler long, so it happens outside any transaction: history is read, proposals are computed, and a
guarded write stores them only if nobody else has gone on numbering meanwhile. A claim never waits for this.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, TypeAlias, TypeVar

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from contract.studies import StudyStatus
from service import studies, sweep
from service.bell import Bell
from service.database import Database
from service.definitions import DEFINITION, RUNS, parsed
from service.errors import Overloaded
from service.histories import Histories
from service.lifecycle import STATUSES
from service.line import WAITS, has
from service.models import Study, Trial, Worker
from service.prepared import Prepared, among
from service.proposals import enqueue
from service.roster import OFFERED, offering
from service.search import strategy_for
from service.search.strategy import SpaceError
from service.settings import Settings

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Proposals that are learnt and stored together: the next ones know what has ended meanwhile."""
LATE = 3
"""Sweeps missed in a row that make an outage."""

Result = TypeVar("Result")


_RUNNING = select(Study.id).where(RUNS).order_by(Study.id)
_ALL_RUNNING = Prepared(_RUNNING)
_MOVED = Prepared(_RUNNING.where(Study.id.in_(select(Trial.study_id).where(among(Trial.id, "p_trials")))))
_GOES_ON = select(Study.id, Study.next_number, DEFINITION).where(RUNS, Study.paused_at.is_(None))
_STUDY = Prepared(_GOES_ON.where(Study.id == bindparam("p_study")))
_QUEUED = Prepared(
    select(func.count().label("count")).select_from(
        select(Trial.id)
        .where(Trial.study_id == bindparam("p_study"), has("queued"))
        .order_by(Trial.study_id, Trial.status, Trial.device_seconds)  # by `ix_trials_tally`, not by looking for them
        .limit(bindparam("p_most"))
        .subquery()
    )
)
_LAST_ENDED = Prepared(
    select(Trial.status)
    .where(Trial.study_id == bindparam("p_study"), Trial.finished_at.is_not(None))
    .order_by(Trial.finished_at.desc(), Trial.number.desc())
    .limit(bindparam("p_most"))
)
_SERVED = Prepared(
    _GOES_ON.where(among(Study.task_key, "p_tasks")).order_by(Study.id).with_for_update(skip_locked=True)
)
# In the order of an index over those that wait: PostgreSQL might look for one of them in the table itself.
_ANY_WAITING = Prepared(select(Trial.id).where(WAITS).order_by(Trial.task_key, Trial.id).limit(1))
_NEWEST = Prepared(select(func.max(Worker.last_seen_at).label("at")))
_SLOTS = Prepared(
    select(func.count().label("count")).where(
        Worker.last_seen_at > bindparam("p_since", type_=Worker.last_seen_at.type), OFFERED
    )
)


Done: TypeAlias = Literal["queued", "ended"]


def top_up(database: Database, histories: Histories, study_id: int, *, live: timedelta) -> Done | None:
    """Queue what the study's strategy proposes next, or end the study when there is nothing left to wait for."""
    with database.read() as session:
        study = _STUDY.first(session, {"p_study": study_id})
        if study is None:
            return None
        definition = parsed(study.definition)
        strategy = strategy_for(definition)
        ahead = strategy.ahead(_slots(session, definition.task.key, live))
        wanted = ahead - _QUEUED.first(session, {"p_study": study_id, "p_most": ahead}).count
        limit = definition.limits.max_failures_in_a_row
        failing = _only_failures(session, study_id, limit)
        learning = wanted > 0 and strategy.learns and not failing
        history = histories.of(session, study_id, definition.objective.direction) if learning else []
    if failing:
        reason = f"the last {limit} trials failed (limits.max_failures_in_a_row); see their reasons"
        return _fail(database, study_id, reason)
    try:
        count = min(wanted, AT_ONCE) if strategy.learns else wanted
        proposals = strategy.propose(history, study.next_number, count) if count > 0 else []
    except SpaceError as error:
        return _fail(database, study_id, f"trial {study.next_number} cannot be built: {error}")
    if proposals:
        with database.write() as session:
            stored = enqueue(session, study_id, proposals, now=database.now(session))
        return "queued" if stored else None
    return _end_if_over(database, study_id) if wanted > 0 else None


def fill_dry(session: Session, tasks: Sequence[str], wanted: int, *, now: datetime) -> bool:
    """A claim found nothing queued: queue quasi-random points of a study these tasks serve, if one has trials left.

    As many as claims want one at this moment, for each would queue its own.
    """
    for study in _SERVED.rows(session, {"p_tasks": tasks}):
        strategy, numbers = strategy_for(parsed(study.definition)), range(study.next_number, study.next_number + wanted)
        points = [point for number in numbers if (point := strategy.fallback(number)) is not None]
        if points and enqueue(session, study.id, points, now=now):
            return True
    return False


def _fail(database: Database, study_id: int, reason: str) -> Done:
    with database.write() as session:
        studies.stop(session, study_id, now=database.now(session), status="failed", reason=reason)
    return "ended"


def _end_if_over(database: Database, study_id: int) -> Done | None:
    """The strategy has nothing more to propose: the study is over when nothing waits or runs."""
    with database.read() as session:
        grouped = select(Trial.status, func.count()).where(Trial.study_id == study_id).group_by(Trial.status)
        counts = dict.fromkeys(STATUSES, 0) | dict(session.execute(grouped).all())
    if counts["queued"] + counts["leased"] > 0:
        return None
    usable = counts["complete"] + counts["diverged"] > 0
    status: StudyStatus = "complete" if usable else "failed"
    reason = None if usable else "no trial finished with a result; see their reasons"
    with database.write() as session:
        studies.finish(session, study_id, status, reason, now=database.now(session))
    return "ended"


def _only_failures(session: Session, study_id: int, count: int) -> bool:
    """Whether the last `count` trials that ended have all failed."""
    last = [row.status for row in _LAST_ENDED.rows(session, {"p_study": study_id, "p_most": count})]
    return len(last) == count and set(last) == {"failed"}


def _slots(session: Session, task_key: str, live: timedelta) -> int:
    """How many trials of this task the connected workers can run at a time."""
    # Compared with this process's own clock on purpose: only a queue depth depends on it, never a lease.
    latest = _NEWEST.first(session, {}).at
    if latest is None:
        return 1
    given = {"p_since": latest - live, "p_offered": offering(task_key)}
    return max(1, int(_SLOTS.first(session, given).count))


BREATH_S = 0.02
"""Between two rounds, or as long as the round took: proposing leaves half of the interpreter to the claims."""
STALLED_S = 120.0
"""A planner that has not come round for so long is stuck: its longest step, a proposal, takes seconds."""


class Planner:
    """A thread that tops up studies when woken, and sweeps expired leases on a beat."""

    def __init__(self, database: Database, settings: Settings, bell: Bell, news: Bell) -> None:
        self._database = database
        self._histories = Histories()
        self._settings = settings
        self._bell, self._news = bell, news
        self._wake = threading.Event()
        self._moved: deque[int] = deque()
        self._all_due_at = time.monotonic()
        self._stop = threading.Event()
        self._live = timedelta(seconds=settings.lease_ttl_s)
        self._beat = min(0.5, settings.sweep_s)
        self._sweep_every = timedelta(seconds=settings.sweep_s)
        self._next_sweep = self._came_round = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="planner", daemon=True)

    def start(self) -> None:
        """Give the outage back to the leases, then begin."""
        with self._database.write() as session:
            outage = sweep.extend_over_outage(session, now=self._database.now(session))
        if outage > timedelta(seconds=self._settings.sweep_s):
            log.info("leases extended by %.0f s, the time no service ran", outage.total_seconds())
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread runs and has lately come round."""
        return self._thread.is_alive() and time.monotonic() - self._came_round < STALLED_S

    def wake(self, *trials: int) -> None:
        """These trials have been claimed or have ended: look after their studies now; after all, when none is named."""
        if not trials:
            self._all_due_at = 0.0
        self._moved.extend(trials)
        self._wake.set()

    def close(self) -> None:
        """Stop after the step under way."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._came_round = time.monotonic()
            self._wake.wait(self._beat)
            idle = time.monotonic() - self._came_round
            self._wake.clear()
            if time.monotonic() >= self._next_sweep:
                self._next_sweep = time.monotonic() + self._settings.sweep_s
                self._guarded(self._sweep)
            for study_id in self._guarded(self._due) or ():
                done = self._guarded(partial(top_up, self._database, self._histories, study_id, live=self._live))
                if done is not None:
                    (self._bell if done == "queued" else self._news).ring()
            self._stop.wait(max(BREATH_S, time.monotonic() - self._came_round - idle))

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

    def _due(self) -> list[int]:
        """The studies whose trials have moved; on the beat, all that run."""
        moved = {self._moved.popleft() for _ in range(len(self._moved))}
        now, all_due = time.monotonic(), time.monotonic() >= self._all_due_at
        if all_due:
            self._all_due_at = now + self._beat
            self._ring_for_others()
        with self._database.read() as session:
            rows = _ALL_RUNNING.rows(session, {}) if all_due else _MOVED.rows(session, {"p_trials": sorted(moved)})
            return [row.id for row in rows]

    def _ring_for_others(self) -> None:
        """Tell the claims that wait of trials that another process of the service has queued."""
        if not self._database.is_sqlite and self._bell.waiting:
            with self._database.read() as session:
                if _ANY_WAITING.first(session, {}) is not None:
                    self._bell.ring()

    def _sweep(self) -> None:
        with self._database.write() as session:
            now = self._database.now(session)
            outage = sweep.extend_over_outage(session, now=now, tolerated=LATE * self._sweep_every)
            expired = sweep.sweep(session, now=now)
        if outage:
            log.warning("leases extended by %.0f s, in which nothing could be written", outage.total_seconds())
        if expired:
            self._bell.ring()
            log.warning("%d leases expired; their trials are queued again", expired)
