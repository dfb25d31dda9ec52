"""Trials and workers, to be read."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select

from contract.pages import Page, WorkerView
from contract.trials import Curves, TrialView
from service import results
from service.access.gate import READ, GatedRoute
from service.api.context import Ctx, Id, Limit, Points
from service.line import has
from service.models import Trial, Worker

router = APIRouter(tags=["trials"], route_class=GatedRoute, dependencies=[READ])


@router.get("/trials/{trial_id}")
def get_trial(trial_id: Id, ctx: Ctx) -> TrialView:
    """A trial with its attempts."""
    with ctx.database.read() as session:
        return results.trial(session, trial_id)


@router.get("/trials/{trial_id}/curve")
def get_curve(trial_id: Id, ctx: Ctx, points: Points = 500) -> Curves:
    """What a trial reported, and the rate it used."""
    with ctx.database.read() as session:
        return results.curve(session, trial_id, points=points)


@router.get("/workers")
def list_workers(ctx: Ctx, limit: Limit = 200) -> Page[WorkerView]:
    """Workers, most recently heard of first."""
    with ctx.database.read() as session:
        now = ctx.database.now(session)
        workers = session.scalars(select(Worker).order_by(Worker.last_seen_at.desc(), Worker.id).limit(limit)).all()
        holding: dict[str, list[int]] = {worker.id: [] for worker in workers}
        leased = select(Trial).where(has("leased"), Trial.worker_id.in_(holding)).order_by(Trial.id)
        for trial in session.scalars(leased):
            holding[trial.worker_id or ""].append(trial.id)
    items = [
        WorkerView(
            id=worker.id,
            name=worker.name,
            device=worker.device,
            version=worker.version,
            tasks=worker.tasks,
            last_seen_at=worker.last_seen_at,
            live=worker.last_seen_at > now - ctx.live,
            trials=holding[worker.id],
        )
        for worker in workers
    ]
    return Page(items=items, next=None)
