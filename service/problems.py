"""Turns every error into one shape: RFC 9457 problem details."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from contract.base import WITHOUT_NUL
from contract.errors import ErrorCode, FieldError, Problem
from service.errors import NotModified, Overloaded, ServiceError

log = logging.getLogger(__name__)

_CODES: dict[int, ErrorCode] = {
    404: "not-found",
    405: "method-not-allowed",
    408: "body-too-slow",
    413: "body-too-large",
}
SHOWN = 200
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What a write says when there is no room: on the disk, in the quota, or for a file as large as this."""


def answer(found: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """A problem as a response."""
    return JSONResponse(found.model_dump(mode="json"), found.status, headers, media_type="application/problem+json")


def refusal(error: ServiceError | HTTPException) -> JSONResponse:
    """What somebody is told whose request was refused."""
    if isinstance(error, ServiceError):
        return answer(error.problem(), dict(error.headers))
    code = _CODES.get(error.status_code, "invalid-request")
    return answer(problem(error.status_code, code, error.detail), dict(error.headers or {}))


def install(app: FastAPI) -> None:
    """Handle every error that somebody foresaw; `failed` answers the others."""

    @app.exception_handler(ServiceError)
    def _service_error(request: Request, error: ServiceError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(NotModified)
    def _not_modified(request: Request, found: NotModified) -> Response:
        return Response(status_code=304, headers={"ETag": found.tag, "Cache-Control": "no-cache"})

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(_invalid_problem(error.errors()))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> JSONResponse:
        response = refusal(error)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = _allowed(request)
        return response

    @app.exception_handler(OSError)
    def _system(request: Request, error: OSError) -> JSONResponse:
        if error.errno not in FULL:
            return failed(request, error)
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return refusal(Overloaded("the disk of the artifacts is full; try again"))


def failed(request: Request, error: Exception) -> JSONResponse:
    """A fault of ours: the details are in the log, under the request's id."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(problem(500, "internal", "the service failed; its log has the details"))


def _allowed(request: Request) -> str:
    """The methods of the address, which may be spread over several routes."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in routes for method in getattr(route, "methods", None) or ()}))


def _invalid_problem(found: Sequence[dict[str, object]]) -> Problem:
    for error in found:
        if error["type"] == "json_invalid":
            context = error.get("ctx")
            why = context.get("error", "") if isinstance(context, dict) else ""
            where = error["loc"][-1] if isinstance(error["loc"], tuple) else 0
            return problem(400, "invalid-json", f"the body must be JSON: {why} at character {where}")
    errors = [
        FieldError(field=_field(error["loc"]), rule=_rule(error), value=_shown(error.get("input"))) for error in found
    ]
    detail = "; ".join(f"{error.field}: {error.rule}, got {error.value}" for error in errors[:5])
    return problem(422, "invalid-request", detail, errors)


def _rule(error: dict[str, object]) -> str:
    """Pydantic's own words, but where they show a pattern that nobody reads at a glance."""
    context = error.get("ctx")
    if isinstance(context, dict) and context.get("pattern") == WITHOUT_NUL:
        return "must not hold the character NUL"
    return str(error["msg"])


def _field(location: object) -> str:
    """`('body', 'space', 'schedules', 2, 'family', 'd')` as `space.schedules[2].d`; union tags are no fields."""
    path = ""
    parts = list(location) if isinstance(location, tuple) else [location]
    for index, part in enumerate(parts):
        if index == 0 and part in {"body", "query", "path"} and len(parts) > 1:
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _shown(value: object) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    except RecursionError:
        text = "something nested too deep to show"
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def problem(status: int, code: ErrorCode, detail: str, errors: Sequence[FieldError] = ()) -> Problem:
    """Problem details with the status's own title."""
    title = HTTPStatus(status).phrase
    return Problem(
        type=f"urn:switchback:{code}", title=title, status=status, code=code, detail=detail, errors=list(errors)
    )
