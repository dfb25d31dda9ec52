"""`switchback artifacts`: the files of a trial, listed or fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client import DEFAULT_URL
from client.cli.failures import BadArgument
from client.cli.options import AsJson, Url, connect


def artifacts(
    trial_id: Annotated[int, typer.Argument(metavar="TRIAL", min=1, help="Id of the trial.")],
    get: Annotated[str | None, typer.Option("--get", metavar="NAME", help="Fetch the file of this name.")] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="PATH", help="Where to; by default ./NAME.")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List the files a trial has stored, such as its model, or fetch one, checked against its SHA-256."""
    with connect(url) as client:
        items = {item.name: item for item in client.artifacts(trial_id).items}
        if get is not None:
            if get not in items:
                raise BadArgument(
                    f"--get: must be a file of trial {trial_id} ({', '.join(items) or 'none'}), got {get!r}"
                )
            client.get_artifact(items[get], to or Path(get))
        elif as_json:
            typer.echo("\n".join(item.model_dump_json() for item in items.values()))
        elif not items:
            typer.echo(f"Trial {trial_id} has stored no files.")
        else:
            for item in items.values():
                typer.echo(f"{item.name}  {item.size} bytes, after {item.step} steps, sha256 {item.sha256}")
