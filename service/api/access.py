"""Signing in and out of the dashboard, and the audit log."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from contract.access import AuditEntry, Identity, SignIn
from contract.pages import Page
from service.access import audit
from service.access.gate import ADMIN, PUBLIC, READ, GatedRoute
from service.access.gatekeeper import COOKIE, Gatekeeper, check_origin
from service.access.roles import Principal
from service.api.context import Ctx, Cursor, Limit
from service.errors import NotFound

router = APIRouter(tags=["access"], route_class=GatedRoute)

SESSION = timedelta(hours=12)


@router.post("/session", dependencies=[PUBLIC])
async def sign_in(body: SignIn, request: Request, response: Response, ctx: Ctx) -> Identity:
    """Exchange an access token for a session cookie, which scripts cannot read and other sites cannot send."""
    keeper = _keeper(request)
    if not keeper.auth:
        raise NotFound("this service needs no access token, so there is nothing to sign in to")
    who = await keeper.principal(body.token, request)
    response.set_cookie(
        COOKIE,
        body.token,
        max_age=int(SESSION.total_seconds()),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return _identity(who, signed_in=True)


@router.get("/session", dependencies=[READ])
def who_am_i(request: Request, ctx: Ctx) -> Identity:
    """Who is asking."""
    return _identity(ctx.who, signed_in=_keeper(request).auth)


@router.delete("/session", dependencies=[PUBLIC], status_code=204)
def sign_out(request: Request) -> Response:
    """Forget the session cookie."""
    check_origin(request)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@router.get("/audit", dependencies=[ADMIN])
def list_audit(ctx: Ctx, limit: Limit = 100, cursor: Cursor = None) -> Page[AuditEntry]:
    """Who did what, newest first; of the token's own projects, when it is for some only."""
    with ctx.database.read() as session:
        rows = audit.page(session, limit=limit, before=cursor)
    items = [AuditEntry(**{name: getattr(row, name) for name in AuditEntry.model_fields}) for row in rows]
    return Page(items=items, next=str(rows[-1].id) if len(rows) == limit else None)


def _keeper(request: Request) -> Gatekeeper:
    keeper = request.app.state.gatekeeper
    assert isinstance(keeper, Gatekeeper)
    return keeper


def _identity(who: Principal, *, signed_in: bool) -> Identity:
    projects = None if who.projects is None else sorted(who.projects)
    return Identity(name=who.name, role=who.role, projects=projects, signed_in=signed_in)
