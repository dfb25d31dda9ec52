"""The trial protocol: claim, heartbeat, report, complete, fail, release.

Each function runs inside the caller's transaction and is given the time; those that take many requests answer each. A
write whose lease is not the trial's current one raises `LeaseLost` and stores nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from contract.leases import (
    ClaimRequest,
    Completion,
    CompletionBatch,
    Directive,
    Failure,
    HeartbeatRequest,
    Lease,
    LeaseRef,
    LeaseState,
    Release,
    TrialReport,
)
from contract.trials import AttemptOutcome, TrialStatus
from service import points
from service.definitions import DEFINITION, RUNS, parsed
from service.errors import LeaseLost
from service.handout import claimed_before, leases_of, next_in_line, share, used_among
from service.lifecycle import TRANSITIONS, Move
from service.models import Attempt, Study, Trial
from service.moves import (
    HELD,
    OF_STUDY,
    OUTCOMES,
    Change,
    Moved,
    Owner,
    Term,
    advance,
    fence,
    lease,
    lease_oldest,
    move,
    move_each,
    renew,
)
from service.prepared import Prepared, among
from service.roster import hear_from, see_workers

Item = TypeVar("Item")

_RUNNING = Prepared(select(Trial.id, Study.paused_at).join(Study).where(among(Trial.id, "p_trials"), RUNS))
_STUDIES_OF = Prepared(
    select(Trial.id, Study.status, DEFINITION, Trial.failures).join(Study).where(among(Trial.id, "p_trials"))
)
_ENDED = Prepared(
    select(Trial.status, Attempt.outcome)
    .join(Attempt)
    .where(
        Trial.id == bindparam("p_trial"),
        Attempt.number == bindparam("p_attempt"),
        Attempt.token_hash == bindparam("p_token"),
    )
)

_OUTCOME_MOVES: dict[str, Move] = {"complete": "complete", "diverged": "diverge", "pruned": "prune"}


class Claim(NamedTuple):
    """A claim as it came: `access` is the id of the worker's access token, `known` whether the worker was stored so
    a moment ago.
    """

    request: ClaimRequest
    access: int | None = None
    known: bool = False


def claim(session: Session, claims: Sequence[Claim], *, now: datetime, ttl_s: float) -> list[list[Lease]]:
    """Lease to each claim up to `max_trials` trials. The same claim again returns the leases it holds: a lost answer is
    no loss.

    For another worker, other tasks or fewer trials its token is refused: a token never leases a second time.
    """
    see_workers(session, [(one.request.worker, one.access) for one in claims if not one.known], now=now)
    requests, ttl = [one.request for one in claims], timedelta(seconds=ttl_s)
    term, owners = Term(now, now + ttl), [Owner(request.worker.id, request.token) for request in requests]
    leased = _oldest_each(session, requests, owners, term)
    left = [index for index in range(len(claims)) if index not in leased]
    used = used_among(session, [requests[index].token for index in left])
    dry: set[tuple[str, ...]] = set()
    for index in left:
        request, tasks = requests[index], tuple(requests[index].worker.tasks)
        if request.token in used:
            leased[index] = _once_more(session, request, term)
        elif tasks not in dry:
            leased[index] = _shared_out(session, request, owners[index], term)
            used.add(request.token)
            if not leased[index] and request.beside is None:
                dry.add(tasks)
    rows = [leased.get(index, []) for index in range(len(claims))]
    return _divided(leases_of(session, list(chain(*rows)), ttl_s), rows)


def _oldest_each(
    session: Session, requests: Sequence[ClaimRequest], owners: Sequence[Owner], term: Term
) -> dict[int, list[Any]]:
    """A trial for each claim of one, as far as they last; a token that came twice counts where it came first."""
    single: dict[tuple[str, ...], dict[str, int]] = {}
    for index, request in enumerate(requests):
        if request.max_trials == 1 and request.beside is None:
            single.setdefault(tuple(request.worker.tasks), {}).setdefault(request.token, index)
    leased: dict[int, list[Any]] = {}
    for tasks, asked in single.items():
        found = lease_oldest(session, tasks, [owners[index] for index in asked.values()], term)
        leased |= {asked[token]: [row] for token, row in found.items()}
    return leased


def _once_more(session: Session, request: ClaimRequest, term: Term) -> list[Any]:
    """The trials that a claim which came before holds, their leases renewed."""
    held = claimed_before(session, request)
    own = [LeaseRef(trial_id=row.id, attempt=row.attempt, token=request.token) for row in held]
    renew(session, own, expires=term.expires)
    return held


def _shared_out(session: Session, request: ClaimRequest, owner: Owner, term: Term) -> list[Any]:
    """A claim's share of the trials that have waited longest."""
    passed = list[str]()
    while (head := next_in_line(session, request.worker.tasks, passed)) is not None:
        count = share(session, request, head, since=term.before)
        if not count:
            break
        claimed = lease(session, head.fusion_key, count, owner, term)
        if claimed:
            return claimed
        passed.append(head.fusion_key)  # others are claiming its last trials at this moment
    return []


def heartbeat(
    session: Session, requests: Sequence[HeartbeatRequest], *, now: datetime, ttl_s: float
) -> list[list[LeaseState]]:
    """Renew the leases that are still current and say to each request which are not."""
    hear_from(session, (request.worker_id for request in requests), now=now)
    asked = [request.leases for request in requests]
    leases = list(chain(*asked))
    held = renew(session, leases, expires=now + timedelta(seconds=ttl_s))
    return _divided(_states(session, leases, held, ttl_s=ttl_s), asked)


def report(
    session: Session, batches: Sequence[Sequence[TrialReport]], *, now: datetime, ttl_s: float
) -> list[list[LeaseState]]:
    """Store points, each once however often it is sent; all that is given, or nothing when a lease in it is stale."""
    reports = list(chain(*batches))
    leases = [item.lease for item in reports]
    held = advance(session, reports, expires=now + timedelta(seconds=ttl_s))
    stale = [(ref.trial_id, ref.attempt) for ref in leases if ref not in held]
    if stale:
        raise LeaseLost(stale)
    points.store(session, reports)
    return _divided(_states(session, leases, held, ttl_s=ttl_s), batches)


def complete(session: Session, batches: Sequence[CompletionBatch], *, now: datetime) -> list[list[TrialStatus]]:
    """End trials with their last points and results; all that is given, or nothing when a lease in it is stale.

    One that is complete and lacks its objective has failed, and says which metric it lacks.
    """
    asked = [batch.completions for batch in batches]
    # In the order of their ids, so that two batches over the same trials wait for each other instead of deadlocking.
    requests = sorted(chain(*asked), key=lambda request: request.lease.trial_id)
    reports = list(chain(*(batch.reports for batch in batches)))
    last = {report.lease: report for report in reports}
    studies = _studies_of(session, [request.lease for request in requests])
    ends: dict[tuple[Move, bool], list[tuple[LeaseRef, Change]]] = {}
    for request in requests:
        ref, metric = request.lease, parsed(studies[request.lease.trial_id].definition).objective.metric
        name, change = _result(request, last.get(ref), metric)
        ends.setdefault((name, ref in last), []).append((ref, change))
    statuses: dict[LeaseRef, TrialStatus] = {}
    ended = set[LeaseRef]()
    for (name, _), changes in ends.items():
        moved = move_each(session, name, HELD, [change for _, change in changes], now=now)
        for (ref, _), found in zip(changes, moved, strict=True):
            statuses[ref] = _settled(session, ref, name, found, (OUTCOMES[name],))
            if found:
                ended.add(ref)
    points.store(session, [report for report in reports if report.lease in ended])
    return [[statuses[request.lease] for request in batch] for batch in asked]


def _result(request: Completion, last: TrialReport | None, metric: str) -> tuple[Move, Change]:
    value = request.metrics.get(metric)
    name, reason = _OUTCOME_MOVES[request.outcome], request.reason
    if name == "complete" and value is None:
        offered = ", ".join(sorted(request.metrics)) or "none"
        name, reason = "fail", f"objective.metric: must be a metric the task reports ({offered}), got {metric!r}"
    values = {"metrics": request.metrics, "steps_done": request.steps_done, "engine": request.engine}
    values |= {"objective": value, "device_seconds": request.device_seconds}
    if last is not None:
        values |= {"total_steps": last.total_steps, "steps_per_epoch": last.steps_per_epoch}
    return name, Change(fence(request.lease), reason, values)


def fail(session: Session, request: Failure, *, now: datetime) -> TrialStatus:
    """The task raised: try again while the study's retries last, else the trial has failed."""
    found = _studies_of(session, [request.lease])[request.lease.trial_id]
    retry = found.failures < parsed(found.definition).limits.max_retries
    name: Move = "abandon" if found.status != "running" else "retry" if retry else "fail"
    spent = {"failures": 1, "device_seconds": request.device_seconds}
    moved = move(session, name, HELD, fence(request.lease), now=now, reason=request.error, **spent)
    return _settled(session, request.lease, name, moved, ("failed", "cancelled"))


def release(session: Session, request: Release, *, now: datetime) -> TrialStatus:
    """The worker gives the trial back unfinished: queue it again, or end it when its study has ended."""
    study = _studies_of(session, [request.lease])[request.lease.trial_id]
    name: Move = "release" if study.status == "running" else "abandon"
    spent = {"device_seconds": request.device_seconds}
    moved = move(session, name, HELD, fence(request.lease), now=now, reason=request.reason, **spent)
    return _settled(session, request.lease, name, moved, ("preempted", "cancelled"))


def cancel_queued(session: Session, study_id: int, *, now: datetime, reason: str) -> int:
    """Cancel the trials of a study that no worker has begun; those running are told to stop by their next answer."""
    return len(move(session, "cancel", OF_STUDY, {"p_study": study_id}, now=now, reason=reason))


def _states(session: Session, leases: Sequence[LeaseRef], held: set[LeaseRef], *, ttl_s: float) -> list[LeaseState]:
    ids = [ref.trial_id for ref in held]
    running = _RUNNING.rows(session, {"p_trials": ids}) if ids else ()
    asked: dict[int, Directive] = {trial_id: "pause" if paused_at else "continue" for trial_id, paused_at in running}
    return [
        LeaseState(
            trial_id=ref.trial_id,
            attempt=ref.attempt,
            held=ref in held,
            ttl_s=ttl_s if ref in held else 0.0,
            directive=asked.get(ref.trial_id, "stop") if ref in held else "stop",
        )
        for ref in leases
    ]


def _studies_of(session: Session, refs: Sequence[LeaseRef]) -> dict[int, Any]:
    """For each trial status and definition of the study it belongs to, and its own failures."""
    rows = _STUDIES_OF.rows(session, {"p_trials": [ref.trial_id for ref in refs]})
    found = {row.id: row for row in rows}
    unknown = [(ref.trial_id, ref.attempt) for ref in refs if ref.trial_id not in found]
    if unknown:
        raise LeaseLost(unknown)
    return found


def _divided(items: Sequence[Item], parts: Sequence[Sequence[object]]) -> list[list[Item]]:
    """The items, which stand for all of these parts one after the other, for each of them."""
    left = iter(items)
    divided = [list(islice(left, len(part))) for part in parts]
    assert sum(map(len, divided)) == sum(map(len, parts)) == len(items)  # nobody is given another's answer
    return divided


def _settled(
    session: Session, ref: LeaseRef, name: Move, moved: list[Moved], outcomes: tuple[AttemptOutcome, ...]
) -> TrialStatus:
    """The trial's status after a move; a repeated request whose first answer was lost gets the same answer again."""
    if moved:
        return TRANSITIONS[name].target
    before = _ENDED.first(session, fence(ref))
    if before is None or before.outcome not in outcomes:
        raise LeaseLost([(ref.trial_id, ref.attempt)])
    status: TrialStatus = before.status
    return status
