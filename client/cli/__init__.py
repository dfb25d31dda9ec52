"""The command line `switchback`: what all commands share; each is a module, imported when it is used."""

from __future__ import annotations

import io
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from client import DEFAULT_URL
from client.cli.lazy import LazyGroup

EXIT_CODES = (
    "Exit codes: 0 ok, 1 the study failed or has no result, 2 bad input, 3 the service cannot be reached, "
    "4 the time to wait was up."
)

app = typer.Typer(cls=LazyGroup, add_completion=False, no_args_is_help=True, epilog=EXIT_CODES)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"switchback {version('switchback')}")
        raise typer.Exit


@app.callback()
def switchback(
    ctx: typer.Context,
    url: Annotated[str, typer.Option("--url", envvar="SWITCHBACK_URL", help="Address of the service.")] = DEFAULT_URL,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="File with the access token; or SWITCHBACK_TOKEN, SWITCHBACK_TOKEN_FILE."),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find the learning-rate schedule a model should be trained with."""
    if token_file is not None:
        from client import credentials

        credentials.use_file(token_file)
    group = ctx.command
    assert isinstance(group, LazyGroup)
    ctx.default_map = {name: {"url": url} for name in group.commands}


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a sign shows a question mark in its place
    app(prog_name="switchback")
