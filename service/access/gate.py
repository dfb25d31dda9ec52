"""The gate: each route declares the right it needs, and is reached only by those who have it.

A route that declares none cannot be built, and an application with a route past the gate does not start. The gate
stands before the body is read, so that a stranger costs no parsing.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_args

from fastapi import Depends, FastAPI, Request, Response
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security.base import SecurityBase

from service.access.roles import Principal, Right
from service.errors import Forbidden, StartupError

PAGE = frozenset({"/", "/static", "/static/plotly.min.js", "/api/v1/openapi.json"})
"""What is not an endpoint: the dashboard's own files and the description of the API. They hold nobody's data."""


class Declared:
    """Marks a route with the right it needs."""

    def __init__(self, right: Right) -> None:
        if right not in get_args(Right):
            raise ValueError(f"right: must be one of {get_args(Right)}, got {right!r}")
        self.right = right

    async def __call__(self, request: Request) -> Principal:
        """Who was let in; fails when nobody looked."""
        who = request.state.who
        assert isinstance(who, Principal)
        return who


class _WithToken(Declared, SecurityBase):
    """The same, and the API's description says that a token is needed."""

    def __init__(self, right: Right) -> None:
        super().__init__(right)
        self.model = HTTPBearer(
            description="Access token, `sbk_...`; not needed by a service that runs without tokens."
        )
        self.scheme_name = "token"


PUBLIC = Depends(Declared("public"))
READ = Depends(_WithToken("read"))
SUBMIT = Depends(_WithToken("submit"))
WORK = Depends(_WithToken("work"))
ADMIN = Depends(_WithToken("admin"))


class GatedRoute(APIRoute):
    """A route behind the gate."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, after the gate."""
        needed, handler = right_of(self), super().get_route_handler()

        async def _gated(request: Request) -> Response:
            await admit(request, needed)
            return await handler(request)

        return _gated


async def admit(request: Request, needed: Right) -> None:
    """Let the request in, as who it comes from; else raise what is to be answered."""
    who = await request.app.state.gatekeeper.identify(request, needed)
    if not who.may(needed):
        raise Forbidden(f"this needs the right to {needed}, which the role {who.role} does not have")
    request.state.who = who


def right_of(route: APIRoute) -> Right:
    """The one right a route declares."""
    calls = (dependency.call for dependency in route.dependant.dependencies)
    rights = [call.right for call in calls if isinstance(call, Declared)]
    if len(rights) != 1:
        raise StartupError(
            f"{route.path}: must declare exactly one right, such as dependencies=[READ], got {rights or 'none'}"
        )
    return rights[0]


def check(app: FastAPI) -> None:
    """Refuse an application with a route past the gate."""
    past = [
        route.path
        for route in iter_route_contexts(app.routes)
        if not isinstance(route.original_route, GatedRoute) and route.path not in PAGE
    ]
    if past:
        raise StartupError(f"these routes declare no right: {past}; build their router with route_class=GatedRoute")
