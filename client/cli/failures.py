"""What a failed command says and exits with: the error, the way to mend it, and a code for scripts."""

from __future__ import annotations

from enum import IntEnum

import typer

from client.errors import (
    AccessDenied,
    NoResultYet,
    NotFound,
    ServiceUnavailable,
    SwitchbackError,
    UnexpectedAnswer,
    WaitTimeout,
)


class Code(IntEnum):
    """Exit codes, as documented by `switchback --help`."""

    OK = 0
    NO_RESULT = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    TIMEOUT = 4


class CommandMissing(SwitchbackError):
    """The command belongs to an extra that is not installed."""


class BadArgument(SwitchbackError):
    """An argument of the command line breaks a rule."""


REACH = "Start a service with `switchback up`, or name its address with --url or SWITCHBACK_URL."
DENIED = "Ask whoever runs the service for an access token, and name it by SWITCHBACK_TOKEN or --token-file."
KINDS: tuple[tuple[type[SwitchbackError], Code, str | None], ...] = (
    (ServiceUnavailable, Code.UNREACHABLE, REACH),
    (UnexpectedAnswer, Code.UNREACHABLE, REACH),
    (
        WaitTimeout,
        Code.TIMEOUT,
        "The study goes on: wait longer with --timeout, or use `switchback watch`.",
    ),
    (NoResultYet, Code.NO_RESULT, "Follow the study with `switchback watch` until a trial has finished."),
    (AccessDenied, Code.BAD_INPUT, DENIED),
    (NotFound, Code.BAD_INPUT, "List the studies with `switchback studies`."),
)


def explain(error: SwitchbackError) -> Code:
    """Tell `error` and its mend on stderr; return the exit code."""
    typer.echo(f"error: {error}", err=True)
    for kind, code, mend in KINDS:
        if isinstance(error, kind):
            if mend:
                typer.echo(mend, err=True)
            return code
    return Code.BAD_INPUT
