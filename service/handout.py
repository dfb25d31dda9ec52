"""What a claim answers: the leases of trials, each with all that is needed to train it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from contract.artifacts import CHECKPOINT, ArtifactView
from contract.errors import FieldError
from contract.leases import ClaimRequest, Lease
from contract.studies import CreateStudy
from contract.tasks import task_with
from contract.trials import TrialSpec
from service import artifacts
from service.definitions import parsed
from service.errors import InvalidRequest
from service.line import SPEC, has, in_line, oldest
from service.models import Artifact, Attempt, Trial, Worker
from service.moves import hashed
from service.prepared import Prepared, among, each
from service.roster import OFFERED, offering

_USED = Prepared(select(Attempt.token_hash).where(among(Attempt.token_hash, "p_tokens")))
_CLAIMED_BY = Prepared(
    select(Attempt.trial_id, Attempt.worker_id, Trial.task_key)
    .join(Trial)
    .where(Attempt.token_hash == bindparam("p_token"))
)
_HELD = Prepared(
    select(*SPEC)
    .where(among(Trial.id, "p_trials"), has("leased"), Trial.token_hash == bindparam("p_token"))
    .order_by(Trial.id)
)


_PASSED = select(each("p_passed", Trial.fusion_key.type))
_OLDEST = Prepared(oldest((Trial.id, Trial.fusion_key, Trial.task_key), Trial.fusion_key.not_in(_PASSED)))
_WAITING = Prepared(
    select(func.count().label("count")).select_from(
        in_line(Trial.fusion_key, bindparam("p_fusion_key", type_=Trial.fusion_key.type))
        .limit(bindparam("p_most"))
        .subquery()
    )
)
_FUSION_KEY = Prepared(select(Trial.fusion_key).where(Trial.id == bindparam("p_trial")))
# Looked up for each worker: asked whether there is none, PostgreSQL may read all that are leased for every worker.
_HOLDS_ONE = (
    select(Trial.id)
    .where(has("leased"), Trial.worker_id == Worker.id)
    .order_by(Trial.worker_id)
    .limit(1)
    .scalar_subquery()
)
_OTHERS = Prepared(
    select(func.count().label("count")).where(
        Worker.id != bindparam("p_worker"),
        Worker.last_seen_at > bindparam("p_since", type_=Worker.last_seen_at.type),
        OFFERED,
        _HOLDS_ONE.is_(None),
    )
)


def used_among(session: Session, tokens: Sequence[str]) -> set[str]:
    """Those of the tokens that a claim has come with before."""
    of_hash = {hashed(token): token for token in tokens}
    return {of_hash[row.token_hash] for row in _USED.rows(session, {"p_tokens": list(of_hash)})} if tokens else set()


def claimed_before(session: Session, request: ClaimRequest) -> list[Any]:
    """The trials this very claim, whose token is used, has leased before and still holds.

    A token stands for one claim, for good: what it leased may have ended since, and it leases nothing else.
    """
    given = {"p_token": hashed(request.token)}
    before = _CLAIMED_BY.rows(session, given)
    own = {(row.worker_id, row.task_key in request.worker.tasks) for row in before} <= {(request.worker.id, True)}
    if not own or len(before) > request.max_trials:
        broken = FieldError(field="token", rule="must be a fresh one for another claim", value=None)
        raise InvalidRequest(f"token: {broken.rule}; this one has claimed {len(before)} trials before", [broken])
    return _HELD.rows(session, given | {"p_trials": [row.trial_id for row in before]})


def next_in_line(session: Session, tasks: Sequence[str], passed: Sequence[str]) -> Any:
    """The trial that has waited longest of all with these tasks, those of some fusion keys passed over; or None."""
    return _OLDEST.first(session, {"p_tasks": tasks, "p_passed": passed})


def share(session: Session, request: ClaimRequest, head: Any, *, since: datetime) -> int:
    """How many trials a claim may take at most: an equal part of those that wait, the others being for idle workers.

    As many as that: trials in different hands share no steps. A worker heard of after `since` is alive. `head` is the
    oldest trial, which it takes first. One that asks `beside` a trial has work: it gets none of another kind, and of
    what cannot be divided the others get more.
    """
    if request.max_trials == 1 and request.beside is None:
        return 1
    if request.beside is not None:
        own = _FUSION_KEY.first(session, {"p_trial": request.beside})
        if own is None or own.fusion_key != head.fusion_key:
            return 0
    given = {"p_worker": request.worker.id, "p_since": since, "p_offered": offering(head.task_key)}
    workers: int = 1 + _OTHERS.first(session, given).count
    most = request.max_trials * workers
    waiting: int = _WAITING.first(session, {"p_fusion_key": head.fusion_key, "p_most": most}).count
    part = max(1, -(-waiting // workers)) if request.beside is None else waiting // workers
    return min(request.max_trials, part)


def leases_of(session: Session, rows: Sequence[Any], ttl_s: float) -> list[Lease]:
    """Each with the checkpoint of the trial, which only a later attempt can have found there."""
    if not rows:
        return []
    checkpoints = _checkpoints(session, [row.id for row in rows if row.attempt > 1])
    return [
        Lease(
            trial=_spec(row, parsed(row.definition)),
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


def _spec(row: Any, study: CreateStudy) -> TrialSpec:
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
