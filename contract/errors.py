"""Error answers: RFC 9457 problem details with a stable code."""

from __future__ import annotations

from typing import Literal, TypeAlias

from contract.base import View

ErrorCode: TypeAlias = Literal[
    "invalid-request",
    "invalid-json",
    "unauthenticated",
    "forbidden",
    "quota-exceeded",
    "too-many-requests",
    "not-found",
    "method-not-allowed",
    "lease-lost",
    "conflict",
    "in-flight",
    "precondition-failed",
    "no-result-yet",
    "head-too-large",
    "body-too-large",
    "body-too-slow",
    "host-not-allowed",
    "origin-not-allowed",
    "overloaded",
    "internal",
]


class FieldError(View):
    """One broken rule: where, which, and by what value (as JSON text, cut at 200 characters)."""

    field: str
    rule: str
    value: str | None


class Problem(View):
    """The body of every error answer, served as `application/problem+json`."""

    type: str
    title: str
    status: int
    code: ErrorCode
    detail: str
    errors: list[FieldError]
