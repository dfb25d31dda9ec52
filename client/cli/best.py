"""`switchback best`: what a study found, for a reader, a script or a training script."""

from __future__ import annotations

from typing import Annotated

import typer

from client import DEFAULT_URL
from client.cli.failures import BadArgument, Code
from client.cli.options import AsJson, StudyId, Url, connect, output
from client.display.result import show_result


def best(
    study_id: StudyId,
    as_json: AsJson = False,
    snippet: Annotated[bool, typer.Option("--snippet", help="Print the code to use the schedule, only.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show the winning schedule of a study and the code to use it; of a range test, the suggested rate.

    Works while the study runs, on what has finished. Exit code 1 when there is no result yet.
    """
    if as_json and snippet:
        raise BadArgument("--json, --snippet: give one of them, got both")
    with connect(url) as client:
        view = client.get(study_id)
        range_test = view.definition.search.method == "range_test"
        if snippet and range_test:
            raise BadArgument(f"--snippet: study {study_id} is a range test, which has no winning schedule")
        if snippet:
            typer.echo(client.best(study_id).snippet)
        elif as_json:
            found = client.range_test(study_id) if range_test else client.best(study_id)
            typer.echo(found.model_dump_json(indent=2))
        elif not show_result(client, view, output()):
            raise typer.Exit(Code.NO_RESULT)
