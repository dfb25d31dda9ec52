"""The direct way to the busiest endpoints, those that take one JSON message and answer with one.

FastAPI describes them, but its general way costs more than all else that a report needs. Here, behind the guard, a path
is looked up, the gate passed, and bytes are handed to pydantic and back. What is no valid message goes the general way,
and is refused in the same words as everywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, get_type_hints

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.gate import admit, right_of
from service.access.roles import Right
from service.api.context import context_of
from service.errors import ServiceError
from service.problems import refusal

JSON = "application/json"


class _Way(NamedTuple):
    route: APIRoute
    needed: Right
    endpoint: Callable[..., Awaitable[object]]
    body: type[BaseModel]
    answer: TypeAdapter[Any]


class DirectWays:
    """Answers the routes of a router whose endpoints are coroutines `(body: Model, ctx: Ctx) -> Model`."""

    def __init__(self, app: ASGIApp, router: APIRouter, prefix: str) -> None:
        self.app = app
        routes = [route for route in router.routes if isinstance(route, APIRoute)]
        self._ways = {prefix + route.path: _way(route) for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the message in and send the answer; other paths and methods are the router's own affair."""
        way = self._ways.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if way is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = way.route
        request = Request(scope, receive, send)
        response: Response
        try:
            await admit(request, way.needed)
            content = await request.body()
            message = _parsed(way, request, content)
            if message is None:
                await self.app(scope, _again(content), send)
                return
            reply = await way.endpoint(message, context_of(request))
            response = Response(way.answer.dump_json(reply), media_type=JSON)
        except (ServiceError, HTTPException) as error:
            response = refusal(error)
        await response(scope, receive, send)


def _way(route: APIRoute) -> _Way:
    kinds = get_type_hints(route.endpoint)
    return _Way(route, right_of(route), route.endpoint, kinds["body"], TypeAdapter(kinds["return"]))


def _parsed(way: _Way, request: Request, content: bytes) -> BaseModel | None:
    if request.headers.get("content-type") != JSON:
        return None
    try:
        return way.body.model_validate_json(content)
    except ValidationError:
        return None


def _again(content: bytes) -> Receive:
    async def _receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    return _receive
