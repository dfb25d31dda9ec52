"""The line of trials that wait for a worker: which may be claimed, and which of them has waited longest."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute

from contract.trials import TrialStatus
from service.models import Attempt, Study, Trial
from service.prepared import each


def has(status: TrialStatus) -> ColumnElement[bool]:
    """Whether a trial has this status, spelled out: a planner that sees a parameter passes the partial indices by."""
    return Trial.status == literal(status, literal_execute=True)


def still(status: TrialStatus) -> ColumnElement[bool]:
    """Whether a trial that is told by its id has this status; a parameter.

    Spelled out, PostgreSQL would walk over the partial index of all that have it, where it believes these to be few.
    """
    return Trial.status == literal(status)


WAITS = and_(has("queued"), Trial.study_id.not_in(select(Study.id).where(Study.paused_at.is_not(None))))
"""A trial that may be claimed."""
UNUSED = ~exists().where(Attempt.token_hash == bindparam("p_token_hash"))
"""Whether no lease was ever claimed with this token."""


def in_line(column: InstrumentedAttribute[str], value: ColumnElement[str]) -> Select[int]:
    """The ids of the trials that wait and have this value, oldest first, by the index over the column and the id.

    Not by equality: by the table's own index the trials come in the order of their ids, too, and a planner that expects
    one with the value among the first prefers it. Where there is none, it reads the whole table.
    """
    return select(Trial.id).where(WAITS, column >= value, column <= value).order_by(column, Trial.id)


def oldest(*columns: InstrumentedAttribute[Any], where: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """These columns of the trial that has waited longest of all with the tasks `p_tasks` for which `where` holds.

    One step into the index for each task: of all that wait it reads as many rows as there are tasks.
    """
    task = each("p_tasks", Trial.task_key.type)
    first = in_line(Trial.task_key, task).where(where).limit(1).correlate(task.table)
    heads = select(first.scalar_subquery().label("id")).select_from(task.table).subquery()
    return select(*columns).where(Trial.id == select(func.min(heads.c.id)).scalar_subquery())
