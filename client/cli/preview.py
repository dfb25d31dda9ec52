"""`switchback preview`: the schedules a study would try, drawn before anything is spent."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from itertools import groupby
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client import DEFAULT_URL, files
from client.cli.options import Url, connect, output
from client.display import words
from client.display.result import plain
from contract.errors import FieldError
from contract.pages import Preview, Proposal
from contract.studies import CreateStudy
from schedules import ScheduleError
from schedules.draw import terminal
from schedules.traces import Curve

GROUP = "switchback.previews"
CURVES_IN_A_DRAWING = 4


def preview(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Study in YAML or JSON; - reads standard input.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="Show at most so many trials.")] = 24,
    steps_per_epoch: Annotated[
        int, typer.Option("--steps-per-epoch", min=1, help="Steps of one epoch; only a worker knows the real number.")
    ] = 100,
    log: Annotated[bool, typer.Option("--log", help="Draw the rate on a logarithmic axis.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Draw the schedules a study would try, spending nothing.

    Shows the first trials in the order they would run. What TPE tries later depends on how these turn out. Needs no
    running service where the service is installed; elsewhere the service at --url is asked.
    """
    found = files.read(file)
    study = found.study()
    shown = compute(found, study, limit, url)
    console = output()
    console.print(_table(shown))
    total = study.budget.steps or (study.budget.epochs or 0) * steps_per_epoch
    for family, members in groupby(sorted(shown.proposals, key=lambda one: one.family), lambda one: one.family):
        _draw(family, list(members), total, steps_per_epoch, console=console, log=log)
    console.print(Text(_summary(shown, study, total, steps_per_epoch)))


def compute(file: files.StudyFile, study: CreateStudy, limit: int, url: str) -> Preview:
    """By the service that is installed, or else by the one at `url`."""
    for point in entry_points(group=GROUP):
        local: Callable[[CreateStudy, int], Preview] = point.load()
        try:
            return local(study, limit)
        except ValueError as error:
            field, _, rule = str(error).partition(": ")
            raise file.error([FieldError(field=field, rule=rule, value=None)]) from error
    with connect(url) as client, file.refusals():
        return client.preview(study, limit=limit)


def _table(shown: Preview) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in ("trial", "schedule", "parameters", "proposed by"):
        table.add_column(name, justify="right" if name == "trial" else "left", overflow="fold")
    for one in shown.proposals:
        table.add_row(*map(Text, (str(one.number), one.family, words.parameters(one.params), one.origin)))
    return table


def _draw(
    family: str, members: list[Proposal], total: int, steps_per_epoch: int, *, console: Console, log: bool
) -> None:
    curves: dict[str, Curve] = {}
    for one in members[:CURVES_IN_A_DRAWING]:
        try:
            curves[f"{family} #{one.number}"] = one.schedule.bind(total, steps_per_epoch)
        except ScheduleError as error:
            console.print(Text(f"{family} #{one.number} does not fit {total} steps: {error}", style="red"))
    if curves:
        drawn = terminal(curves, width=min(console.width, 76), height=9, log=log, plain=plain(console))
        console.print(Text(drawn, no_wrap=True))


def _summary(shown: Preview, study: CreateStudy, total: int, steps_per_epoch: int) -> str:
    count = len(shown.proposals)
    whole = "" if shown.planned is None else f" of {shown.planned}"
    epochs = study.budget.epochs
    assumed = "" if epochs is None else f" ({epochs} epochs of {steps_per_epoch} steps: --steps-per-epoch)"
    return f"{count}{whole} trials shown, drawn over {total} steps{assumed}; nothing was submitted."
