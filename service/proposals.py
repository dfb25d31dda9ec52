"""Puts what a strategy proposes into the queue, under the numbers of the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from schedules import to_dict
from service.definitions import DEFINITION, RUNS, parsed
from service.inserting import Inserting
from service.models import Study, Trial, table
from service.prepared import Prepared
from service.search.strategy import Proposal

_NUMBERING = Prepared(
    select(Study.next_number, Study.planned, DEFINITION).where(Study.id == bindparam("p_study"), RUNS).with_for_update()
)
_NUMBERED = Prepared(update(Study).where(Study.id == bindparam("p_study")).values(next_number=bindparam("p_next")))
_GIVEN = [
    *("study_id", "status", "task_key", "fusion_key", "created_at", "number", "origin", "family", "params", "config"),
    *("schedule", "seed", "report_every", "metrics", "attempt", "lost", "failures", "steps_done", "device_seconds"),
]
_QUEUE = Inserting(table(Trial), _GIVEN)


def enqueue(session: Session, study_id: int, proposals: Sequence[Proposal], *, now: datetime) -> int:
    """Queue proposals that continue a running study's numbering; how many.

    Somebody else may have given away their first numbers meanwhile. What was learnt from results is as good under
    another and moves up, to the end of the study; a cell or a quasi-random point has been queued with its number.
    """
    found = _NUMBERING.first(session, {"p_study": study_id})
    if found is None or not proposals or proposals[0].number > found.next_number:
        return 0
    left = [proposal for proposal in proposals if proposal.learnt or proposal.number >= found.next_number]
    renumbered = [replace(proposal, number=number) for number, proposal in enumerate(left, found.next_number)]
    fresh = [proposal for proposal in renumbered if found.planned is None or proposal.number < found.planned]
    if not fresh:
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
    _QUEUE.run(session, [shared | _row(proposal) for proposal in fresh])
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
