"""Looks a service's database over and says, line by line, what is wrong and what mends it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service import sqlite_file
from service.database import Database
from service.errors import Overloaded
from service.line import has
from service.migrate import head, revision
from service.models import Pulse, Study, Trial, Worker
from service.settings import Settings
from service.version import VERSION

Verdict: TypeAlias = Literal["ok", "warning", "bad"]

SKEW_S = 5.0


class Finding(NamedTuple):
    """What was looked at, how it stands, and what to do about it where it does not stand well."""

    verdict: Verdict
    what: str
    said: str
    mend: str = ""


def examine(settings: Settings) -> list[Finding]:
    """All findings; those that need the database only when it answers."""
    shown = settings.url.render_as_string(hide_password=True)
    if settings.url.get_backend_name() == "sqlite" and not Path(settings.url.database or "").is_file():
        mend = "give the file with --database; `switchback serve` creates a new one"
        return [Finding("bad", "database", f"{shown} does not exist", mend)]
    database = Database(settings)
    try:
        with database.read() as session:
            session.execute(select(1))
            found = [Finding("ok", "database", f"{shown} answers"), _schema(session)]
            if found[-1].verdict == "ok":
                now = database.now(session)
                live = timedelta(seconds=settings.lease_ttl_s)
                found += [found for check in _CHECKS for found in check(session, now, live)]
    except (SQLAlchemyError, Overloaded) as error:
        reason = str(error).strip().splitlines()[0]
        mend = "start it, or give another with --database"
        found = [Finding("bad", "database", f"{shown} does not answer: {reason}", mend)]
    finally:
        database.close()
    return [*found, *_sqlite(database), *_disk(database.free_bytes(), settings.min_free_bytes)]


def _schema(session: Session) -> Finding:
    current, wanted = revision(session.connection()), head()
    if current == wanted:
        return Finding("ok", "schema", f"revision {current}")
    mend = "start `switchback serve` of this version once: it brings the schema up to date"
    return Finding("bad", "schema", f"revision {current or 'none'}, this version works with {wanted}", mend)


def _clock(session: Session, now: datetime, live: timedelta) -> Iterator[Finding]:
    skew = abs((now - datetime.now(UTC)).total_seconds())
    mend = "synchronise both with NTP; leases use the database's clock alone, so they are safe meanwhile"
    verdict: Verdict = "ok" if skew <= SKEW_S else "warning"
    yield Finding(verdict, "clock", f"this machine and the database differ by {skew:.1f} s", mend)


def _pulse(session: Session, now: datetime, live: timedelta) -> Iterator[Finding]:
    beat = session.scalar(select(Pulse.beat_at))
    age = None if beat is None else max(0.0, (now - beat).total_seconds())
    if age is not None and age < live.total_seconds():
        yield Finding("ok", "service", f"swept {age:.0f} s ago")
        return
    said = "has never run here" if age is None else f"was last alive {age:.0f} s ago"
    yield Finding("warning", "service", said, "start it: `switchback serve`")


def _leases(session: Session, now: datetime, live: timedelta) -> Iterator[Finding]:
    overdue = select(func.count()).where(has("leased"), Trial.lease_expires_at < now - live)
    count = session.scalar(overdue) or 0
    mend = "no service sweeps them: look at its log for `planning failed`"
    yield Finding(
        "bad" if count else "ok", "leases", f"{count} overdue by more than {live.total_seconds():.0f} s", mend
    )


def _workers(session: Session, now: datetime, live: timedelta) -> Iterator[Finding]:
    rows = session.execute(select(Worker.version, Worker.tasks).where(Worker.last_seen_at > now - live)).all()
    versions = Counter(version for version, _ in rows)
    shown = ", ".join(f"{count} of version {version}" for version, count in sorted(versions.items())) or "none"
    other = [version for version in versions if version != VERSION]
    mend = f"upgrade the workers to {VERSION}" if other else "start one: `switchback worker`"
    yield Finding("warning" if other or not rows else "ok", "workers", f"alive: {shown}", mend)
    offered = {task for _, tasks in rows for task in tasks}
    queued = select(Trial.task_key, func.count()).join(Study).where(has("queued"), Study.paused_at.is_(None))
    for task, count in session.execute(queued.group_by(Trial.task_key)):
        if task not in offered:
            mend = f"start a worker for it; `switchback worker --list-tasks` shows whether one can train {task}"
            yield Finding("bad", "queue", f"{count} trials of {task} wait, and no live worker offers it", mend)


def _sqlite(database: Database) -> Iterator[Finding]:
    if database.is_sqlite:
        fault = sqlite_file.unsound()
        yield Finding("warning", "sqlite", fault) if fault else Finding("ok", "sqlite", sqlite3.sqlite_version)


def _disk(free: int | None, least: int) -> Iterator[Finding]:
    if free is None:
        return
    verdict: Verdict = "bad" if free < least else "warning" if free < 10 * least else "ok"
    yield Finding(verdict, "disk", f"{free / 1e9:.1f} GB free beside the database", "make room, or archive old studies")


_CHECKS: tuple[Callable[[Session, datetime, timedelta], Iterator[Finding]], ...] = (_clock, _pulse, _leases, _workers)
