"""What can go wrong, each with its HTTP status and stable code.

ServiceError
├── InvalidRequest   422  a field breaks a rule
├── Unauthenticated  401  no valid access token
├── Forbidden        403  the token's role does not allow it
├── ForeignOrigin    403  a page of another origin asks with the reader's cookie
├── QuotaExceeded    403  the project has as much as it may have
├── TooManyRequests  429  this token, or this address, asks too often
├── NotFound         404  no such object, or somebody else's
├── LeaseLost        409  the lease is not the trial's current one
├── Conflict         409  the object's state does not allow it
├── InFlight         409  the same request is being worked on; ask again
├── Changed          412  the object is not the version the request was made for
├── NoResultYet      409  nothing has finished yet
├── TooLarge         413  a file is past its limit
└── Overloaded       503  the database did not answer in time; try again

StartupError is not an answer: it ends `switchback serve` with its message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from contract.errors import ErrorCode, FieldError, Problem


class StartupError(Exception):
    """The service cannot start; the message says why and what to do."""


class ServiceError(Exception):
    """An error the client is told about."""

    status: ClassVar[int]
    code: ClassVar[ErrorCode]
    title: ClassVar[str]
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)

    def problem(self) -> Problem:
        """The error as RFC 9457 problem details."""
        return Problem(
            type=f"urn:switchback:{self.code}",
            title=self.title,
            status=self.status,
            code=self.code,
            detail=self.detail,
            errors=list(self.errors),
        )


class InvalidRequest(ServiceError):
    """A field breaks a rule."""

    status, code, title = 422, "invalid-request", "The request breaks a rule"


class Unauthenticated(ServiceError):
    """No valid access token."""

    status, code, title = 401, "unauthenticated", "Who are you?"
    headers = MappingProxyType({"WWW-Authenticate": 'Bearer realm="switchback"'})


class Forbidden(ServiceError):
    """The token's role does not allow it."""

    status, code, title = 403, "forbidden", "Not allowed"


class ForeignOrigin(ServiceError):
    """A page of another origin asks with the reader's cookie."""

    status, code, title = 403, "origin-not-allowed", "Not from this service's own page"


class QuotaExceeded(ServiceError):
    """The project has as much as it may have."""

    status, code, title = 403, "quota-exceeded", "Quota exceeded"


class TooManyRequests(ServiceError):
    """This token, or this address, asks too often."""

    status, code, title = 429, "too-many-requests", "Too many requests"

    def __init__(self, detail: str, wait_s: float) -> None:
        super().__init__(f"{detail}; try again in {wait_s:.1f} s")
        self.headers = {"Retry-After": str(max(1, math.ceil(wait_s)))}


class NotFound(ServiceError):
    """No such object, or somebody else's: the two look alike."""

    status, code, title = 404, "not-found", "Not found"


class NotModified(Exception):
    """The reader has this state already: 304 with the ETag."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


class LeaseLost(ServiceError):
    """The lease is not the trial's current one: it expired, or the trial has ended. Nothing was stored."""

    status, code, title = 409, "lease-lost", "The lease is lost"

    def __init__(self, trials: Sequence[tuple[int, int]]) -> None:
        named = ", ".join(f"trial {trial} attempt {attempt}" for trial, attempt in trials)
        errors = [
            FieldError(field=f"trial {trial}", rule="must carry the trial's current lease", value=f"attempt {attempt}")
            for trial, attempt in trials
        ]
        super().__init__(f"not the current lease of {named}; nothing was stored", errors)


class Conflict(ServiceError):
    """The object's state does not allow it."""

    status, code, title = 409, "conflict", "Not possible in this state"


class InFlight(ServiceError):
    """The same request is being worked on; ask again."""

    status, code, title = 409, "in-flight", "Being worked on"
    headers = MappingProxyType({"Retry-After": "1"})


class Changed(ServiceError):
    """The object is not the version the request was made for."""

    status, code, title = 412, "precondition-failed", "Changed meanwhile"


class NoResultYet(ServiceError):
    """Nothing has finished yet."""

    status, code, title = 409, "no-result-yet", "No result yet"


class TooLarge(ServiceError):
    """A file is past its limit."""

    status, code, title = 413, "body-too-large", "Too large"


class Overloaded(ServiceError):
    """The database did not answer in time."""

    status, code, title = 503, "overloaded", "Overloaded"
    headers = MappingProxyType({"Retry-After": "1"})


class NotReady(Overloaded):
    """The service runs and cannot serve; the detail says why and what mends it."""

    title = "Not ready"
