"""`switchback doctor`: whether all is well, and what mends what is not."""

from __future__ import annotations

import typer

from service.commands import DatabaseOption, TtlOption, settings_of
from service.doctor import examine
from service.settings import DEFAULT_DATABASE

_MARKS = {"ok": "ok     ", "warning": "warning", "bad": "BAD    "}


def doctor(database: DatabaseOption = DEFAULT_DATABASE, lease_ttl: TtlOption = 60.0) -> None:
    """Check the database, its schema, the clocks, the disk, the service's sweep, the workers and the queue.

    Changes nothing. Exit codes: 0 when nothing is bad (warnings aside), 1 when something is.
    """
    findings = examine(settings_of(database=database, lease_ttl_s=lease_ttl))
    for found in findings:
        mend = f"\n         {found.mend}" if found.mend and found.verdict != "ok" else ""
        typer.echo(f"{_MARKS[found.verdict]}  {found.what}: {found.said}{mend}")
    raise typer.Exit(1 if any(found.verdict == "bad" for found in findings) else 0)
