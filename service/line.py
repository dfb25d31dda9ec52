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


WAITS = and_(has("queued"), Trial.study_id.not_in(select(Study.id).where(Study.paused_at.is_not(None))))
"""A trial that may be claimed."""
UNUSED = ~exists().where(Attempt.token_hash == bindparam("p_token_hash"))
"""Whether no lease was ever claimed with this token."""


def oldest(*columns: InstrumentedAttribute[Any], where: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """These columns of the trial that has waited longest of all with the tasks `p_tasks` for which `where` holds.

    One step into the index for each task: of all that wait it reads as many rows as there are tasks.
    """
    task = each("p_tasks", Trial.task_key.type)
    first = select(Trial.id).where(WAITS, Trial.task_key == task, where)
    first = first.order_by(Trial.id).limit(1).correlate(task.table)
    heads = select(first.scalar_subquery().label("id")).select_from(task.table).subquery()
    return select(*columns).where(Trial.id == select(func.min(heads.c.id)).scalar_subquery())
