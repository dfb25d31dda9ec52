"""Studies and what is known of them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Header, Query, Response
from sqlalchemy.orm import Session

from contract.errors import Problem
from contract.pages import ChangesPage, Page, Preview
from contract.studies import BestView, CreateStudy, LeaderboardEntry, RangeTestView, StudyView
from contract.trials import Curves, TrialRow, TrialStatus
from service import idempotency, quotas, results, studies
from service.access.gate import READ, SUBMIT, GatedRoute
from service.access.scope import project_for
from service.api.context import Context, Ctx, Cursor, Id, Limit, Points, Since
from service.errors import InvalidRequest
from service.freshness import FRESH
from service.ranking import leaderboard
from service.search.preview import preview

router = APIRouter(tags=["studies"], route_class=GatedRoute)

Key: TypeAlias = Annotated[str | None, Header(alias="Idempotency-Key", pattern=r"^[\x21-\x7e]{1,128}$")]
IfMatch: TypeAlias = Annotated[str | None, Header(alias="If-Match", max_length=1_000)]
CHANGED: dict[int | str, dict[str, object]] = {
    412: {"model": Problem, "description": "The study is not the version that If-Match names"}
}


@router.post("/studies", status_code=201, dependencies=[SUBMIT])
def create_study(body: CreateStudy, ctx: Ctx, response: Response, key: Key = None) -> StudyView:
    """Submit a study. Its first trials are queued before this answers.

    With an `Idempotency-Key` it may be sent again, for a day: the answer shows the study that was made the first time.
    """
    project = project_for(ctx.who, body.project)
    with ctx.database.write() as session:
        now = ctx.database.now(session)
        create = partial(_create, ctx, session, body, project, now)
        if key is None:
            study_id = create()
        else:
            asker = str(ctx.who.token_id or "")
            study_id, again = idempotency.once(session, key, body, create, asker=asker, now=now)
            response.headers["Idempotency-Replayed"] = "true" if again else "false"
    ctx.planner.wake()
    ctx.bell.ring()
    response.headers["Location"] = f"/api/v1/studies/{study_id}"
    return _view(ctx, study_id)


@router.get("/studies", dependencies=[READ])
def list_studies(ctx: Ctx, limit: Limit = 50, cursor: Cursor = None) -> Page[StudyView]:
    """Studies, newest first."""
    with ctx.database.read() as session:
        rows = studies.page(session, limit=limit, before=cursor)
        items = studies.views(session, rows, now=ctx.database.now(session), live=ctx.live)
    return Page(items=items, next=str(rows[-1].id) if len(rows) == limit else None)


@router.get("/studies/{study_id}", dependencies=[READ, FRESH])
def get_study(study_id: Id, ctx: Ctx) -> StudyView:
    """A study as it stands. Its ETag begins with its version, which is what `If-Match` compares."""
    return _view(ctx, study_id)


@router.post("/studies/{study_id}/stop", dependencies=[SUBMIT], responses=CHANGED)
def stop_study(study_id: Id, ctx: Ctx, response: Response, expected: IfMatch = None) -> StudyView:
    """End a study early. Results so far stay; queued trials are cancelled, running ones told to stop."""
    with ctx.database.write() as session:
        now = ctx.database.now(session)
        studies.stop(session, study_id, now=now, reason="stopped by request", versions=_versions(expected))
        _note(ctx, session, "study.stop", study_id, now)
    ctx.news.ring()
    return _tagged(ctx, study_id, response)


@router.post("/studies/{study_id}/pause", dependencies=[SUBMIT], responses=CHANGED)
def pause_study(study_id: Id, ctx: Ctx, response: Response, expected: IfMatch = None) -> StudyView:
    """Hand out no more trials of a study; its workers store a checkpoint of the running ones and give them back."""
    with ctx.database.write() as session:
        now = ctx.database.now(session)
        studies.pause(session, study_id, now=now, versions=_versions(expected))
        _note(ctx, session, "study.pause", study_id, now)
    ctx.news.ring()
    return _tagged(ctx, study_id, response)


@router.post("/studies/{study_id}/resume", dependencies=[SUBMIT], responses=CHANGED)
def resume_study(study_id: Id, ctx: Ctx, response: Response, expected: IfMatch = None) -> StudyView:
    """Go on with a paused study, its trials from where they were."""
    with ctx.database.write() as session:
        studies.resume(session, study_id, versions=_versions(expected))
        _note(ctx, session, "study.resume", study_id, ctx.database.now(session))
    ctx.planner.wake()
    ctx.bell.ring()
    ctx.news.ring()
    return _tagged(ctx, study_id, response)


@router.get("/studies/{study_id}/leaderboard", dependencies=[READ, FRESH])
def get_leaderboard(study_id: Id, ctx: Ctx, limit: Limit = 50) -> Page[LeaderboardEntry]:
    """Configurations, best first."""
    with ctx.database.read() as session:
        return Page(items=leaderboard(session, studies.get(session, study_id), limit=limit), next=None)


@router.get("/studies/{study_id}/trials", dependencies=[READ, FRESH])
def list_trials(
    study_id: Id,
    ctx: Ctx,
    *,
    limit: Limit = 100,
    cursor: Cursor = None,
    status: TrialStatus | None = None,
    since: Since = None,
) -> ChangesPage[TrialRow]:
    """Trials in the order of their numbers; with `since` those that changed, in the order of their changes."""
    with ctx.database.read() as session:
        if since is None:
            return results.trials(session, study_id, limit=limit, after=cursor, status=status)
        tick, _, number = since.partition("-")
        mark = (int(tick), int(number or 2**31))
        return results.changes(session, study_id, limit=limit, since=mark, status=status)


@router.get("/studies/{study_id}/best", dependencies=[READ, FRESH])
def get_best(study_id: Id, ctx: Ctx) -> BestView:
    """The winner so far: schedule, metrics, and PyTorch code to use it."""
    with ctx.database.read() as session:
        return results.best(session, study_id)


@router.get("/studies/{study_id}/curves", dependencies=[READ, FRESH])
def get_curves(
    study_id: Id,
    ctx: Ctx,
    trials: Annotated[str | None, Query(max_length=2_000, description="Trial ids, comma-separated.")] = None,
    points: Points = 200,
) -> Curves:
    """Loss and rate curves; by default of the leaders and of the running trials."""
    with ctx.database.read() as session:
        return results.curves(session, study_id, trial_ids=_ids(trials), points=points)


@router.get("/studies/{study_id}/range-test", dependencies=[READ, FRESH])
def get_range_test(study_id: Id, ctx: Ctx) -> RangeTestView:
    """The reading of a range test."""
    with ctx.database.read() as session:
        return results.range_test(session, study_id)


@router.post("/previews", dependencies=[SUBMIT])
def create_preview(body: CreateStudy, limit: Limit = 24) -> Preview:
    """The first trials a study would run, without storing or running any."""
    with studies.refusing():
        return preview(body, limit)


def _tagged(ctx: Context, study_id: int, response: Response) -> StudyView:
    found = _view(ctx, study_id)
    response.headers["ETag"] = f'"{found.version}"'
    return found


def _versions(header: str | None) -> frozenset[int] | None:
    """The versions an `If-Match` names, of ETags `"VERSION"` and `"VERSION.HASH"`; None when any will do."""
    if header is None or header.strip() == "*":
        return None
    tags = (tag.strip().removeprefix("W/").strip('"').partition(".")[0] for tag in header.split(","))
    return frozenset(int(tag) for tag in tags if tag.isascii() and tag.isdigit() and len(tag) < 10)


def _create(ctx: Context, session: Session, body: CreateStudy, project: str, now: datetime) -> int:
    quotas.check(session, project, ctx.settings)
    study_id = studies.create(session, body, project=project, now=now)
    _note(ctx, session, "study.create", study_id, now)
    return study_id


def _note(ctx: Context, session: Session, action: str, study_id: int, now: datetime) -> None:
    project = studies.get(session, study_id).project
    ctx.record(session, action, f"study {study_id}", now=now, project=project)


def _view(ctx: Context, study_id: int) -> StudyView:
    with ctx.database.read() as session:
        study = studies.get(session, study_id)
        return studies.views(session, [study], now=ctx.database.now(session), live=ctx.live)[0]


def _ids(listed: str | None) -> list[int] | None:
    if listed is None:
        return None
    parts = [part.strip() for part in listed.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts) or len(parts) > 100:
        raise InvalidRequest(f"trials: must be at most 100 trial ids, comma-separated, got {listed[:200]!r}")
    return [int(part) for part in parts]
