"""A study at a glance: whether anything of it has changed, and why it waits, in one statement that costs next to
nothing however large the study is. Asked by every reader who polls.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import NamedTuple

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.orm import Session

from contract.trials import TrialStatus
from service import ticks
from service.errors import NotFound
from service.line import has
from service.models import Study, Trial, Worker
from service.prepared import Prepared

TASKS_SHOWN = 8


def _any(status: TrialStatus) -> ColumnElement[bool]:
    return select(Trial.id).where(Trial.study_id == Study.id, has(status)).exists()


_NEWEST = select(func.max(Trial.changed)).where(Trial.study_id == Study.id).scalar_subquery()
_GLANCE = Prepared(
    select(
        *(Study.version, Study.changed, Study.task_key),
        _NEWEST.label("newest"),
        ticks.settled().label("settled"),
        ticks.snapshot().label("snapshot"),
        ((Study.status == "running") & Study.paused_at.is_(None) & _any("queued") & ~_any("leased")).label("stuck"),
    ).where(Study.id == bindparam("p_study"))
)


class Glance(NamedTuple):
    """The study's version, what differs whenever it or one of its trials does, and whether nobody takes its trials."""

    version: int
    state: str
    stuck: bool
    task_key: str


def glance(session: Session, study_id: int) -> Glance:
    """The study as this session sees it, or `NotFound`."""
    found = _GLANCE.first(session, {"p_study": study_id})
    if found is None:
        raise NotFound(f"there is no study {study_id}")
    latest = max(found.changed, found.newest or 0)
    state = str(latest) if latest <= found.settled else f"{latest} {found.snapshot}"
    return Glance(found.version, state, found.stuck, found.task_key)


def waiting(session: Session, task_key: str, *, now: datetime, live: timedelta) -> str | None:
    """Why no trial of this task is taken: no worker at all, or none that can train it."""
    workers = session.scalars(select(Worker).where(Worker.last_seen_at > now - live)).all()
    if not workers:
        return "no worker is connected; start one with `switchback worker`"
    offered = sorted({task for worker in workers for task in worker.tasks})
    if task_key in offered:
        return None
    close = get_close_matches(task_key, offered, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    shown = ", ".join(offered[:TASKS_SHOWN]) + (
        f" and {len(offered) - TASKS_SHOWN} more" * (len(offered) > TASKS_SHOWN)
    )
    return (
        f"task: must be one that a connected worker can train ({shown}), got {task_key!r}{hint} "
        "The study waits for a worker that offers it."
    )
