"""Studies: create, look at, stop; how far they are."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from contract.errors import FieldError
from contract.studies import CreateStudy, Progress, StudyStatus, StudyView
from contract.trials import TrialStatus
from service.errors import Changed, Conflict, InvalidRequest, NotFound
from service.glance import waiting
from service.lifecycle import STATUSES
from service.models import Study, Trial
from service.proposals import enqueue
from service.queue import cancel_queued
from service.ranking import leaderboard
from service.search import strategy_for
from service.search.strategy import SpaceError
from service.webhooks import outbox

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
    enqueue(session, study.id, strategy.propose([], 0, strategy.ahead(1)), now=now)
    return study.id


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
            waiting=waiting(session, study.task_key, now=now, live=live) if _stuck(study, counts[study.id]) else None,
            created_at=study.created_at,
            finished_at=study.finished_at,
            definition=CreateStudy.model_validate(study.definition),
            progress=Progress(planned=study.planned, **counts[study.id]),
            best=None if _is_range_test(study) else next(iter(leaderboard(session, study, limit=1)), None),
            device_seconds=seconds[study.id],
        )
        for study in studies
    ]


def _stuck(study: Study, counts: Mapping[TrialStatus, int]) -> bool:
    """Whether trials wait and none is trained."""
    return study.status == "running" and not study.paused_at and bool(counts["queued"]) and not counts["leased"]


def _is_range_test(study: Study) -> bool:
    """Its trials run into divergence on purpose: their final losses rank nothing."""
    return bool(study.definition["search"]["method"] == "range_test")
