"""`switchback submit`: a study file becomes a study."""

from __future__ import annotations

from typing import Annotated

import typer

from client import DEFAULT_URL, files
from client.cli.following import follow
from client.cli.options import Poll, Timeout, Url, connect, output
from client.display import words
from contract.studies import StudyView


def submit(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Study in YAML or JSON; - reads standard input.")],
    wait: Annotated[bool, typer.Option("--wait", help="Follow the study and show its result.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Set a field on top of the file: search.trials=40."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the number of the study only.")] = False,
    timeout: Timeout = None,
    poll: Poll = 1.0,
    url: Url = DEFAULT_URL,
) -> None:
    """Submit a study from a YAML or JSON file.

    Nothing is submitted unless the whole file is valid; every broken rule is told with its line. With --wait the exit
    code says how the study ended: 0 with a result, 1 failed or without one, 4 when --timeout seconds were not enough.
    """
    found = files.read(file)
    for setting in settings or ():
        found = found.with_setting(setting)
    study = found.study()
    with connect(url) as client:
        with found.refusals():
            view = client.create(study)
        typer.echo(str(view.id) if quiet else _receipt(view, client.url))
        if wait:
            follow(client, view.id, output(), poll_s=poll, timeout_s=timeout)


def _receipt(view: StudyView, url: str) -> str:
    planned = view.progress.planned
    size = "" if planned is None else f", {planned} trials planned"
    return f"{words.title(view)}: submitted{size}\n{url}/#/studies/{view.id}, or `switchback watch {view.id}`"
