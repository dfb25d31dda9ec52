"""The line of trials that wait for a worker: which may be claimed, which has waited longest, what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute

from contract.trials import TrialStatus
from service.definitions import DEFINITION
from service.models import Study, Trial
from service.prepared import each


def has(status: TrialStatus) -> ColumnElement[bool]:
    """Whether a trial has this status, spelled out: a planner that sees a parameter passes the partial indices by."""
    return Trial.status == literal(status, literal_execute=True)


def still(status: TrialStatus) -> ColumnElement[bool]:
    """Whether a trial that is told by its id has this status."""
    return leading_nowhere(Trial.status, status)


def leading_nowhere(column: InstrumentedAttribute[Any], value: str) -> ColumnElement[bool]:
    """Whether the column of a row that is told by its key has this value, in words that lead to no index.

    Else PostgreSQL would walk over the partial index of all that have it, where it believes these to be few.
    """
    return column.concat(literal("", literal_execute=True)) == literal(value, literal_execute=True)


WAITS = and_(has("queued"), Trial.study_id.not_in(select(Study.id).where(Study.paused_at.is_not(None))))
"""A trial that may be claimed."""


_SPEC = ("id", "study_id", "number", "attempt", "params", "schedule", "seed", "report_every")
_OF_ITS_STUDY = select(DEFINITION).where(Study.id == Trial.study_id).scalar_subquery()
SPEC = [*(getattr(Trial, name) for name in _SPEC), _OF_ITS_STUDY.label(DEFINITION.name)]
"""What a lease is made of."""


def in_line(column: InstrumentedAttribute[str], value: ColumnElement[str]) -> Select[int]:
    """The ids of the trials that wait and have this value, oldest first, by the index over the column and the id.

    Not by equality: by the table's own index the trials come in the order of their ids, too, and a planner that expects
    one with the value among the first prefers it. Where there is none, it reads the whole table.
    """
    return select(Trial.id).where(WAITS, column >= value, column <= value).order_by(column, Trial.id)


def oldest(columns: Sequence[InstrumentedAttribute[Any]], *where: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """These columns of the trial that has waited longest of all with the tasks `p_tasks` for which `where` holds.

    One step into the index for each task: of all that wait it reads as many rows as there are tasks.
    """
    task = each("p_tasks", Trial.task_key.type)
    first = in_line(Trial.task_key, task).where(*where).limit(1).correlate(task.table)
    heads = select(first.scalar_subquery().label("id")).select_from(task.table).subquery()
    return select(*columns).where(Trial.id == select(func.min(heads.c.id)).scalar_subquery())
