"""What can go wrong when speaking to the service, as one tree of exceptions.

* SwitchbackError
  x ServiceUnavailable    nobody answers, or not now: refused, timed out, 5xx, 429; asking again later may help
  x RequestRefused        the service answered, and said no; asking again will not help
    + InvalidRequest      a field breaks a rule, or the body is no JSON, or too large
    + AccessDenied        no valid token, or one whose role or quota does not allow this
    + NotFound            no such study, trial or address
    + Conflict            the request does not fit the state it met
      - LeaseLost         the trial belongs to somebody else by now
      - NoResultYet       no trial of the study has finished with a value
      - Changed           the study is not at the version the change was meant for
  x UnexpectedAnswer      what answered does not speak this contract: another program, or another version
  x BadToken            what the environment names as an access token is none
  x WaitTimeout           the study was still running when the caller's time was up
"""

from __future__ import annotations

from collections.abc import Mapping

from contract.errors import ErrorCode, FieldError, Problem


class SwitchbackError(Exception):
    """Root of everything this package raises on purpose."""


class ServiceUnavailable(SwitchbackError):
    """Nobody answers, or not now; `retry_after` is the service's own wish, in seconds, None when it said nothing.

    `sent` is False when nothing of the request can have arrived.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, sent: bool = True) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.sent = sent


class RequestRefused(SwitchbackError):
    """The service answered with a problem; `errors` has one entry for each broken rule."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(describe(problem))
        self.problem = problem

    @property
    def code(self) -> ErrorCode:
        """The stable code of the problem."""
        return self.problem.code

    @property
    def errors(self) -> list[FieldError]:
        """The broken rules, field by field."""
        return self.problem.errors


class InvalidRequest(RequestRefused):
    """A field breaks a rule, or the body is no JSON, or too large."""


class AccessDenied(RequestRefused):
    """No valid token, or one whose role or quota does not allow this."""


class NotFound(RequestRefused):
    """No such study, trial or address."""


class Conflict(RequestRefused):
    """The request does not fit the state it met."""


class LeaseLost(Conflict):
    """The trial belongs to somebody else by now; nothing of the request was stored."""


class NoResultYet(Conflict):
    """No trial of the study has finished with a value."""


class Changed(Conflict):
    """The study is not at the version the change was meant for."""


class UnexpectedAnswer(SwitchbackError):
    """What answered does not speak this contract: another program on that port, or another version."""


class BadToken(SwitchbackError):
    """What the environment names as an access token is none."""


class WaitTimeout(SwitchbackError):
    """The study was still running when the caller's time was up."""


REFUSALS: Mapping[ErrorCode, type[RequestRefused]] = {
    "invalid-request": InvalidRequest,
    "invalid-json": InvalidRequest,
    "head-too-large": RequestRefused,
    "body-too-large": InvalidRequest,
    "body-too-slow": RequestRefused,
    "method-not-allowed": RequestRefused,
    "host-not-allowed": RequestRefused,
    "origin-not-allowed": RequestRefused,
    "unauthenticated": AccessDenied,
    "forbidden": AccessDenied,
    "quota-exceeded": AccessDenied,
    "not-found": NotFound,
    "conflict": Conflict,
    "lease-lost": LeaseLost,
    "no-result-yet": NoResultYet,
    "precondition-failed": Changed,
}
"""The exception of each code; `overloaded`, `too-many-requests`, `in-flight` and `internal` mean ServiceUnavailable."""


def refusal(problem: Problem) -> RequestRefused:
    """The exception that says what `problem` says."""
    return REFUSALS.get(problem.code, RequestRefused)(problem)


def describe(problem: Problem) -> str:
    """One line for each broken rule, `field: rule, got value`; the detail where no field is to blame."""
    return "\n".join(map(line, problem.errors)) or problem.detail or problem.title


def line(error: FieldError) -> str:
    """`field: rule, got value`; a rule that already names its value is left as it is."""
    got = "" if error.value is None or ", got " in error.rule else f", got {error.value}"
    return f"{error.field}: {error.rule}{got}" if error.field else f"{error.rule}{got}"
