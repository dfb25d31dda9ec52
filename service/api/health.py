"""Whether the service lives, and whether it can serve."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import text

from contract.pages import Health
from service.access.gate import PUBLIC, GatedRoute
from service.api.context import Ctx
from service.migrate import revision
from service.version import VERSION

router = APIRouter(tags=["operations"], route_class=GatedRoute, dependencies=[PUBLIC])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok", "version": VERSION}


@router.get("/readyz")
def readyz(ctx: Ctx) -> Health:
    """The database answers, too."""
    with ctx.database.read() as session:
        session.execute(text("select 1"))
        current = revision(session.connection()) or ""
    return Health(status="ok", version=VERSION, database=ctx.database.url.get_backend_name(), revision=current)
