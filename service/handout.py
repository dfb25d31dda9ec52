"""What a claim answers: the leases of trials, each with all that is needed to train it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select
from sqlalchemy.orm import Session

from contract.artifacts import CHECKPOINT, ArtifactView
from contract.leases import ClaimRequest, Lease
from contract.studies import CreateStudy
from contract.tasks import task_with
from contract.trials import TrialSpec
from schedules import from_dict
from service import artifacts
from service.definitions import definitions
from service.models import Artifact
from service.moves import SPEC, TRIALS, hashed

_HELD_BY = (
    select(*SPEC)
    .where(
        TRIALS.c.status == "leased",
        TRIALS.c.token_hash == bindparam("p_token"),
        TRIALS.c.worker_id == bindparam("p_worker"),
    )
    .order_by(TRIALS.c.id)
)


def held_by(session: Session, request: ClaimRequest) -> list[Row[Any]]:
    """The trials that this very claim has leased before."""
    given = {"p_token": hashed(request.token), "p_worker": request.worker.id}
    return list(session.connection().execute(_HELD_BY, given))


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
    return TrialSpec(
        id=row.id,
        study_id=row.study_id,
        number=row.number,
        task=task_with(study.task, row.params),
        budget=study.budget,
        schedule=from_dict(row.schedule),
        seed=row.seed,
        report_every=row.report_every,
        objective=study.objective.metric,
    )
