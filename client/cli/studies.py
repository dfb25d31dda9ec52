"""`switchback studies`, `stop`, `pause`, `resume`: what there is, and whether it goes on."""

from __future__ import annotations

from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from client import DEFAULT_URL
from client.cli.options import AsJson, StudyId, Url, connect, output
from client.display import words
from client.display.leaderboard import STATUS_STYLES
from contract.studies import StudyView


def studies(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to list.")] = 20,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List the studies, newest first."""
    with connect(url) as client:
        page = client.list(limit=limit)
    if as_json:
        typer.echo(page.model_dump_json(indent=2))
    elif page.items:
        output().print(_table(page.items))
    else:
        typer.echo("No studies yet. Submit one with `switchback submit FILE`.")


def stop(study_id: StudyId, url: Url = DEFAULT_URL) -> None:
    """End a study early; its results so far stay."""
    with connect(url) as client:
        view = client.stop(study_id)
    typer.echo(f"{words.title(view)}: {view.status}, {words.counts(view)}")


def pause(study_id: StudyId, url: Url = DEFAULT_URL) -> None:
    """Hand out no more trials of a study; its running ones store a checkpoint and wait."""
    with connect(url) as client:
        view = client.pause(study_id)
    typer.echo(f"{words.title(view)}: {view.status}, {words.counts(view)}")


def resume(study_id: StudyId, url: Url = DEFAULT_URL) -> None:
    """Go on with a paused study, its trials from where they were."""
    with connect(url) as client:
        view = client.resume(study_id)
    typer.echo(f"{words.title(view)}: {view.status}, {words.counts(view)}")


def _table(views: list[StudyView]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in ("id", "name", "search", "task", "status", "trials", "device", "best"):
        table.add_column(name, justify="right" if name == "id" else "left", no_wrap=name != "name", overflow="fold")
    for view in views:
        definition = view.definition
        scored = view.best is not None and definition.search.method != "range_test"
        table.add_row(
            str(view.id),
            Text(definition.name),
            definition.search.method,
            definition.task.key,
            Text(view.status, style=STATUS_STYLES[view.status]),
            words.share(view.progress),
            words.duration(view.device_seconds),
            f"{words.score(view.best)} ({view.best.family})" if view.best and scored else "-",
        )
    return table
