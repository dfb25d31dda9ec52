"""Puts what a strategy proposes into the queue, under the numbers of the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Text, bindparam, cast, insert, literal, select, update
from sqlalchemy.orm import Session

from schedules import to_dict
from service.definitions import parsed
from service.models import Study, Trial, table
from service.prepared import Prepared
from service.search.strategy import Proposal

_NUMBERING = Prepared(
    select(Study.next_number, Study.planned, cast(Study.definition, Text).label("definition"))
    .where(Study.id == bindparam("p_study"), Study.status == literal("running", literal_execute=True))
    .with_for_update()
)
_NUMBERED = Prepared(update(Study).where(Study.id == bindparam("p_study")).values(next_number=bindparam("p_next")))
_GIVEN = [
    *("study_id", "status", "task_key", "fusion_key", "created_at", "number", "origin", "family", "params", "config"),
    *("schedule", "seed", "report_every", "metrics", "attempt", "lost", "failures", "steps_done", "device_seconds"),
]
_QUEUE = Prepared(
    insert(table(Trial)).values({name: bindparam(name, type_=getattr(Trial, name).type) for name in _GIVEN})
)


def enqueue(
    session: Session, study_id: int, proposals: Sequence[Proposal], *, now: datetime, movable: bool = False
) -> int:
    """Queue proposals that continue a running study's numbering; how many.

    Where somebody else has given away their first numbers meanwhile, these are left out; or, if they are `movable`, all
    move up: what was learnt from results is as good under another number, the cell of a grid is not.
    """
    found = _NUMBERING.first(session, {"p_study": study_id})
    if found is None or not proposals:
        return 0
    first = max(found.next_number, proposals[0].number)
    if movable:
        numbers = range(first, min(first + len(proposals), found.planned))
        fresh = [replace(proposal, number=number) for number, proposal in zip(numbers, proposals, strict=False)]
    else:
        fresh = [proposal for proposal in proposals if proposal.number >= first]
    if not fresh or first > found.next_number:
        return 0
    definition = parsed(found.definition)
    horizon = definition.budget.model_dump_json(exclude_none=True)
    shared = {
        "study_id": study_id,
        "status": "queued",
        "task_key": definition.task.key,
        "fusion_key": f"{study_id}:{definition.task.batch_size}:{horizon}",
        "created_at": now,
    }
    _QUEUE.run(session, *(shared | _row(proposal) for proposal in fresh))
    _NUMBERED.run(session, {"p_study": study_id, "p_next": found.next_number + len(fresh)})
    return len(fresh)


def _row(proposal: Proposal) -> dict[str, object]:
    return {
        "number": proposal.number,
        "origin": proposal.origin,
        "family": proposal.family,
        "params": dict(proposal.params),
        "config": proposal.config,
        "schedule": to_dict(proposal.schedule),
        "seed": proposal.seed,
        "report_every": proposal.report_every,
        "metrics": {},
        "attempt": 0,
        "lost": 0,
        "failures": 0,
        "steps_done": 0,
        "device_seconds": 0.0,
    }
