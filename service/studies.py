"""Studies: create, look at, stop; their progress, leaderboard and winner."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from difflib import get_close_matches
from statistics import stdev
from typing import TypeAlias

from sqlalchemy import case, func, insert, select, text, update
from sqlalchemy.orm import Session

from contract.errors import FieldError
from contract.studies import CreateStudy, LeaderboardEntry, Progress, StudyStatus, StudyView
from contract.trials import TrialStatus
from schedules import to_dict
from service import ticks
from service.definitions import definitions
from service.errors import Changed, Conflict, InvalidRequest, NotFound
from service.lifecycle import STATUSES
from service.models import Study, Trial, Worker
from service.queue import cancel_queued
from service.search import strategy_for
from service.search.strategy import Proposal, SpaceError
from service.webhooks import outbox

TASKS_SHOWN = 8

Versions: TypeAlias = Container[int] | None
"""The versions of a study that a change is meant for; None for any."""


@contextmanager
def refusing() -> Iterator[None]:
    """A space that does not fit the search is an invalid request."""
    try:
        yield
    except SpaceError as error:
        broken = FieldError(field=error.field, rule=error.rule, value=str(error.value)[:200])
        raise InvalidRequest(str(error), [broken]) from error


def create(session: Session, definition: CreateStudy, *, project: str = "default", now: datetime) -> int:
    """Store a study with its first trials; its id."""
    with refusing():
        strategy = strategy_for(definition)
    study = Study(
        name=definition.name,
        project=project,
        status="running",
        definition=definition.model_dump(mode="json"),
        task_key=definition.task.key,
        planned=strategy.planned,
        created_at=now,
    )
    session.add(study)
    session.flush()
    enqueue(session, study, strategy.propose([], 0, strategy.ahead(1)), now=now)
    return study.id


def enqueue(session: Session, study: Study, proposals: Sequence[Proposal], *, now: datetime) -> bool:
    """Queue proposals that continue the study's numbering; False, and nothing stored, when somebody else went first."""
    if not proposals:
        return True
    first = proposals[0].number
    advanced = session.execute(
        update(Study)
        .where(Study.id == study.id, Study.next_number == first, Study.status == "running")
        .values(next_number=first + len(proposals))
        .returning(Study.id)
        .execution_options(synchronize_session=False)
    ).all()
    if not advanced:
        return False
    definition = definitions(session, [study.id])[study.id]
    horizon = definition.budget.model_dump_json(exclude_none=True)
    shared = {
        "study_id": study.id,
        "status": "queued",
        "task_key": study.task_key,
        "fusion_key": f"{study.id}:{definition.task.batch_size}:{horizon}",
        "created_at": now,
    }
    session.execute(insert(Trial), [shared | _row(proposal) for proposal in proposals])
    return True


def stop(
    session: Session,
    study_id: int,
    *,
    now: datetime,
    status: StudyStatus = "stopped",
    reason: str,
    versions: Versions = None,
) -> None:
    """End a running study: queued trials are cancelled, running ones told to stop. Stopping twice is one stop."""
    study = locked(session, study_id, versions)
    if study.status == status:
        return
    _must_run(study)
    finish(session, study_id, status, reason, now=now)
    cancel_queued(session, study_id, now=now, reason=reason)


def pause(session: Session, study_id: int, *, now: datetime, versions: Versions = None) -> None:
    """Hand out no more trials of a study; the running ones are asked for a checkpoint and given back."""
    study = locked(session, study_id, versions)
    _must_run(study)
    if study.paused_at is None:
        study.paused_at, study.version = now, study.version + 1


def resume(session: Session, study_id: int, *, versions: Versions = None) -> None:
    """Go on with a paused study; with a running one this changes nothing."""
    study = locked(session, study_id, versions)
    _must_run(study)
    if study.paused_at is not None:
        study.paused_at, study.version = None, study.version + 1


def locked(session: Session, study_id: int, versions: Versions) -> Study:
    """The study, held until the transaction ends; `Changed` when it is none of the versions asked for."""
    study = session.scalar(select(Study).where(Study.id == study_id).with_for_update())
    if study is None:
        raise NotFound(f"there is no study {study_id}")
    if versions is not None and study.version not in versions:
        raise Changed(f"study {study_id} is at version {study.version} by now; look at it again")
    return study


def _must_run(study: Study) -> None:
    if study.status != "running":
        raise Conflict(f"study {study.id} has ended already: it is {study.status}")


def finish(session: Session, study_id: int, status: StudyStatus, reason: str | None, *, now: datetime) -> None:
    """End a study that is still running, and leave word for the webhooks of its project."""
    ended = session.execute(
        update(Study)
        .where(Study.id == study_id, Study.status == "running")
        .values(status=status, reason=reason, finished_at=now, paused_at=None, version=Study.version + 1)
        .returning(Study.project, Study.name)
        .execution_options(synchronize_session=False)
    )
    for project, name in ended:
        outbox.study_ended(session, study_id, project, name, status=status, reason=reason, now=now)


def get(session: Session, study_id: int) -> Study:
    """The study, or `NotFound`."""
    study = session.get(Study, study_id, populate_existing=True)
    if study is None:
        raise NotFound(f"there is no study {study_id}")
    return study


def page(session: Session, *, limit: int, before: int | None) -> list[Study]:
    """Studies, newest first, older than `before`."""
    statement = select(Study).order_by(Study.id.desc()).limit(limit)
    return list(session.scalars(statement if before is None else statement.where(Study.id < before)))


def views(session: Session, studies: Sequence[Study], *, now: datetime, live: timedelta) -> list[StudyView]:
    """Studies as they stand."""
    counts: dict[int, dict[TrialStatus, int]] = {study.id: dict.fromkeys(STATUSES, 0) for study in studies}
    seconds = dict.fromkeys(counts, 0.0)
    grouped = (
        select(Trial.study_id, Trial.status, func.count(), func.sum(Trial.device_seconds))
        .where(Trial.study_id.in_(counts))
        .group_by(Trial.study_id, Trial.status)
    )
    for study_id, status, count, spent in session.execute(grouped):
        counts[study_id][status] = count
        seconds[study_id] += spent
    return [
        StudyView(
            id=study.id,
            project=study.project,
            version=study.version,
            status="paused" if study.paused_at else study.status,
            reason=study.reason,
            waiting=waiting(session, study, now=now, live=live),
            created_at=study.created_at,
            finished_at=study.finished_at,
            definition=CreateStudy.model_validate(study.definition),
            progress=Progress(planned=study.planned, **counts[study.id]),
            best=None if _is_range_test(study) else next(iter(leaderboard(session, study, limit=1)), None),
            device_seconds=seconds[study.id],
        )
        for study in studies
    ]


def state(session: Session, study: Study) -> str:
    """Changes whenever the study or one of its trials has, as far as this session sees them."""
    settled, snapshot = ticks.seen(session)
    newest = session.scalar(select(func.max(Trial.changed)).where(Trial.study_id == study.id)) or 0
    latest = max(study.changed, newest)
    return str(latest) if latest <= settled else f"{latest} {snapshot}"


def waiting(session: Session, study: Study, *, now: datetime, live: timedelta) -> str | None:
    """Why nothing moves: no worker at all, or none that can train the study's task."""
    if study.status != "running" or study.paused_at:
        return None
    if _any(session, study, "leased") or not _any(session, study, "queued"):
        return None
    workers = session.scalars(select(Worker).where(Worker.last_seen_at > now - live)).all()
    if not workers:
        return "no worker is connected; start one with `switchback worker`"
    offered = sorted({task for worker in workers for task in worker.tasks})
    if study.task_key in offered:
        return None
    close = get_close_matches(study.task_key, offered, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    shown = ", ".join(offered[:TASKS_SHOWN]) + (
        f" and {len(offered) - TASKS_SHOWN} more" * (len(offered) > TASKS_SHOWN)
    )
    return (
        f"task: must be one that a connected worker can train ({shown}), got {study.task_key!r}{hint} "
        "The study waits for a worker that offers it."
    )


def _any(session: Session, study: Study, status: TrialStatus) -> bool:
    found = select(Trial.id).where(Trial.study_id == study.id, Trial.status == status).limit(1)
    return session.scalar(found) is not None


def _is_range_test(study: Study) -> bool:
    """Its trials run into divergence on purpose: their final losses rank nothing."""
    return bool(study.definition["search"]["method"] == "range_test")


def leaderboard(session: Session, study: Study, *, limit: int) -> list[LeaderboardEntry]:
    """Configurations by their mean objective over seeds; one that ever diverged ranks below all that never did."""
    maximize = study.definition["objective"]["direction"] == "maximize"
    mean = func.avg(Trial.objective)
    diverged = func.count(case((Trial.status == "diverged", 1)))
    over = text("status in ('complete', 'diverged')")  # as the index says it
    ranked = (
        select(Trial.config)
        .where(Trial.study_id == study.id, over)
        .group_by(Trial.config)
        .order_by(diverged > 0, mean.is_(None), mean.desc() if maximize else mean, func.min(Trial.number))
        .limit(limit)
    )
    configs = list(session.scalars(ranked))
    trials: dict[str, list[Trial]] = {config: [] for config in configs}
    rows = select(Trial).where(Trial.study_id == study.id, over, Trial.config.in_(configs)).order_by(Trial.number)
    for trial in session.scalars(rows):
        trials[trial.config].append(trial)
    return [_entry(rank, trials[config]) for rank, config in enumerate(configs, start=1)]


def _entry(rank: int, trials: Sequence[Trial]) -> LeaderboardEntry:
    values = [trial.objective for trial in trials if trial.status == "complete" and trial.objective is not None]
    return LeaderboardEntry(
        rank=rank,
        config=trials[0].config,
        family=trials[0].family,
        params=trials[0].params,
        mean=sum(values) / len(values) if values else None,
        std=stdev(values) if len(values) > 1 else None,
        complete=len(values),
        diverged=len(trials) - len(values),
        trial_ids=[trial.id for trial in trials],
    )


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
