"""Whether the service lives, whether it can serve, and whether anything is stuck."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from contract.pages import Health
from service import metrics
from service.access.gate import PUBLIC, READ, GatedRoute
from service.api.context import Ctx
from service.errors import NotReady
from service.migrate import head, revision, revisions
from service.version import VERSION

router = APIRouter(tags=["operations"], route_class=GatedRoute)


@router.get("/healthz", dependencies=[PUBLIC])
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok", "version": VERSION}


@router.get("/readyz", dependencies=[PUBLIC])
def readyz(ctx: Ctx) -> Health:
    """The database answers with a schema this version can use, the planner lives, there is room to write; else 503."""
    with ctx.database.read() as session:
        current = revision(session.connection()) or ""
    # One that is unknown is a newer version's, which leaves the processes of the version before at work beside it.
    if not current or current in revisions()[:-1]:
        raise NotReady(f"the database is at schema revision {current!r}, this version needs {head()!r}")
    if not ctx.planner.alive:
        raise NotReady("the planner has stopped: no lease is swept and no trial proposed; restart the service")
    free = ctx.database.free_bytes()
    if free is not None and free < ctx.settings.min_free_bytes:
        raise NotReady(f"the disk of the database has {free / 1e6:.0f} MB left; make room")
    return Health(status="ok", version=VERSION, database=ctx.database.url.get_backend_name(), revision=current)


@router.get("/metrics", dependencies=[READ], response_class=Response)
def scrape(ctx: Ctx, request: Request) -> Response:
    """Prometheus metrics, of the projects the asker may see."""
    with ctx.database.read() as session:
        page = metrics.exposition(
            session,
            request.app.state.latency,
            now=ctx.database.now(session),
            live=ctx.live,
            waiting=ctx.writer.waiting,
        )
    return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")
