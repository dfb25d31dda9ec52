"""Watches a study to its end and shows the result: what `watch` and `submit --wait` have in common."""

from __future__ import annotations

import typer
from rich.console import Console

from client.cli.failures import Code
from client.display.result import show_result
from client.display.watching import conclusion, watch
from client.studies import StudyClient

INTERRUPTED = 130
"""What a shell reports for a command ended by Ctrl-C."""


def follow(client: StudyClient, study_id: int, console: Console, *, poll_s: float, timeout_s: float | None) -> None:
    """Return when the study has a result; exit with the code that says so when it has none."""
    try:
        view = watch(client, study_id, console=console, poll_s=poll_s, timeout_s=timeout_s)
    except KeyboardInterrupt:
        typer.echo(f"\nStudy {study_id} goes on; see it again with `switchback watch {study_id}`.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    conclusion(view, console)
    found = show_result(client, view, console)
    if view.status == "failed" or not found:
        raise typer.Exit(Code.NO_RESULT)
