"""`switchback token`: access tokens, made, listed and revoked in the service's database itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from contract.access import Role
from service import migrate
from service.access import audit, tokens
from service.commands import DatabaseOption, refuse, refusing, settings_of
from service.database import Database
from service.settings import DEFAULT_DATABASE

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Create, list and revoke access tokens of a service."
)

UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

RoleOption = Annotated[
    Role,
    typer.Option("--role", help="viewer reads, submitter makes studies too, worker trains, admin does everything."),
]
ProjectOption = Annotated[
    list[str] | None, typer.Option("--project", help="A project it is for; several add up; none: all projects.")
]
ExpiresOption = Annotated[str, typer.Option("--expires", help="When it ends: 12h, 90d, 8w, or never.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Whose it is, for lists and logs; the role by default.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", help="Write it to this file instead, for you alone; done already if the file exists."),
]


@app.command()
def create(
    *,
    role: RoleOption,
    project: ProjectOption = None,
    expires: ExpiresOption = "90d",
    name: NameOption = None,
    output: OutputOption = None,
    database: DatabaseOption = DEFAULT_DATABASE,
) -> None:
    """Make a token and print it, this once: only its hash is kept."""
    if output is not None and output.exists():
        typer.echo(f"{output} exists already; nothing to do", err=True)
        return
    lasts = _lasts(expires)
    with _opened(database) as opened, opened.write() as session:
        now = opened.now(session)
        until = None if lasts is None else now + lasts
        token = tokens.create(session, name=name or role, role=role, projects=project, expires_at=until, now=now)
        audit.record(session, audit.COMMAND_LINE, "token.create", f"token {tokens.key_of(token)} ({role})", now=now)
        if output is not None:
            _keep(token, output)
    typer.echo(f"a {role} token for {', '.join(project or ['all projects'])}, {_until(until)}", err=True)
    typer.echo("A service that is running without tokens asks for them from its next start.", err=True)
    if output is None:
        typer.echo(token)


@app.command("list")
def list_tokens(database: DatabaseOption = DEFAULT_DATABASE) -> None:
    """Show all tokens: key, name, role, projects, and until when they are good."""
    with _opened(database) as opened, opened.read() as session:
        now = opened.now(session)
        for row in tokens.listed(session):
            projects = ", ".join(row.projects)
            ended = row.expires_at is not None and row.expires_at <= now
            state = "revoked" if row.revoked_at else "expired" if ended else _until(row.expires_at)
            typer.echo(f"{row.key}  {row.name:<20}  {row.role:<9}  {projects:<20}  {state}")


@app.command()
def revoke(
    keys: Annotated[list[str], typer.Argument(metavar="KEY", help="The 12 characters after sbk_, as listed.")],
    database: DatabaseOption = DEFAULT_DATABASE,
) -> None:
    """End tokens; a running service refuses them within a second."""
    with _opened(database) as opened, opened.write() as session:
        known = {row.key for row in tokens.listed(session)}
        if unknown := [key for key in keys if key not in known]:
            refuse(f"KEY: must be a token's as `switchback token list` shows it, got {', '.join(unknown)}")
        now = opened.now(session)
        tokens.revoke(session, *keys, now=now)
        for key in keys:
            audit.record(session, audit.COMMAND_LINE, "token.revoke", f"token {key}", now=now)


@contextmanager
def _opened(address: str) -> Iterator[Database]:
    with refusing(), migrate.opened(settings_of(database=address)) as database:
        try:
            yield database
        except ValueError as error:
            refuse(str(error))


def _lasts(expires: str) -> timedelta | None:
    if expires == "never":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", expires)
    if found is None:
        refuse(f"--expires: must be a number of hours, days or weeks such as 90d, or never, got {expires!r}")
    return int(found[1]) * UNITS[found[2]]


def _until(moment: datetime | None) -> str:
    return "good for ever" if moment is None else f"good until {moment:%Y-%m-%d %H:%M} UTC"


def _keep(token: str, path: Path) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(token + "\n")
    except OSError as error:
        refuse(f"--output {path}: {error.strerror}")
