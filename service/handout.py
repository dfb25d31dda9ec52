"""What a claim answers: the leases of trials, each with all that is needed to train it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Text, bindparam, cast, func, select
from sqlalchemy.orm import Session

from contract.artifacts import CHECKPOINT, ArtifactView
from contract.errors import FieldError
from contract.leases import ClaimRequest, Lease
from contract.studies import CreateStudy
from contract.tasks import task_with
from contract.trials import TrialSpec
from service import artifacts
from service.definitions import definitions
from service.errors import InvalidRequest
from service.models import Artifact, Trial, Worker
from service.moves import ATTEMPTS, SPEC, TRIALS, hashed, waiting

_CLAIMED_BY = (
    select(ATTEMPTS.c.trial_id, ATTEMPTS.c.worker_id, TRIALS.c.task_key)
    .join(TRIALS)
    .where(ATTEMPTS.c.token_hash == bindparam("p_token"))
)
_HELD = (
    select(*SPEC)
    .where(
        TRIALS.c.id.in_(bindparam("p_trials", expanding=True)),
        TRIALS.c.status == "leased",
        TRIALS.c.token_hash == bindparam("p_token"),
    )
    .order_by(TRIALS.c.id)
)


def claimed_before(session: Session, request: ClaimRequest) -> list[Row[Any]] | None:
    """The trials this very claim has leased before and still holds; None when its token is new.

    A token stands for one claim, for good: what it leased may have ended since, and it leases nothing else.
    """
    given = {"p_token": hashed(request.token)}
    before = session.connection().execute(_CLAIMED_BY, given).all()
    if not before:
        return None
    own = {(row.worker_id, row.task_key in request.worker.tasks) for row in before} == {(request.worker.id, True)}
    if not own or len(before) > request.max_trials:
        broken = FieldError(field="token", rule="must be a fresh one for another claim", value=None)
        raise InvalidRequest(f"token: {broken.rule}; this one has claimed {len(before)} trials before", [broken])
    return list(session.connection().execute(_HELD, given | {"p_trials": [row.trial_id for row in before]}))


def share(session: Session, request: ClaimRequest, *, since: datetime) -> int:
    """How many trials a claim may take at most: an equal part of those that wait, the others being for idle workers.

    As many as that: trials in different hands share no steps. A worker heard of after `since` is alive. One that asks
    `beside` a trial has work: it gets none of another kind, and of what cannot be divided the others get more.
    """
    if request.max_trials == 1 and request.beside is None:
        return 1
    oldest = select(Trial.fusion_key, Trial.task_key).where(waiting(), Trial.task_key.in_(request.worker.tasks))
    head = session.execute(oldest.order_by(Trial.id).limit(1)).first()
    if request.beside is not None:
        own = session.scalar(select(Trial.fusion_key).where(Trial.id == request.beside))
        if head is None or head.fusion_key != own:
            return 0
    elif head is None:
        return 1
    offered = cast(Worker.tasks, Text).contains(json.dumps(head.task_key), autoescape=True)
    busy = select(Trial.worker_id).where(Trial.status == "leased", Trial.worker_id.is_not(None))
    others = (Worker.id != request.worker.id, Worker.last_seen_at > since, offered, Worker.id.not_in(busy))
    workers = 1 + (session.scalar(select(func.count()).where(*others)) or 0)
    enough = select(Trial.id).where(waiting(), Trial.fusion_key == head.fusion_key).limit(request.max_trials * workers)
    count = session.scalar(select(func.count()).select_from(enough.subquery())) or 0
    part = count // workers if request.beside is not None else max(1, -(-count // workers))
    return min(request.max_trials, part)


def leases_of(session: Session, rows: Sequence[Row[Any]], ttl_s: float) -> list[Lease]:
    """Each with the checkpoint of the trial, which only a later attempt can have found there."""
    if not rows:
        return []
    studies = definitions(session, {row.study_id for row in rows})
    checkpoints = _checkpoints(session, [row.id for row in rows if row.attempt > 1])
    return [
        Lease(
            trial=_spec(row, studies[row.study_id]),
            attempt=row.attempt,
            ttl_s=ttl_s,
            checkpoint=checkpoints.get(row.id),
        )
        for row in rows
    ]


def _checkpoints(session: Session, trial_ids: Sequence[int]) -> dict[int, ArtifactView]:
    if not trial_ids:
        return {}
    found = select(Artifact).where(Artifact.trial_id.in_(trial_ids), Artifact.name == CHECKPOINT)
    return {row.trial_id: artifacts.view(row) for row in session.scalars(found)}


def _spec(row: Row[Any], study: CreateStudy) -> TrialSpec:
    # Not validated: it was when stored. Building the schedule only to take it apart again was nine tenths of a claim.
    return TrialSpec.model_construct(
        id=row.id,
        study_id=row.study_id,
        number=row.number,
        task=task_with(study.task, row.params),
        budget=study.budget,
        schedule=row.schedule,
        seed=row.seed,
        report_every=row.report_every,
        objective=study.objective.metric,
    )
