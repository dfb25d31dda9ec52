"""`switchback plan`: what a study computes, and what of it only once, before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from itertools import groupby
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client import DEFAULT_URL, files
from client.cli.failures import BadArgument
from client.cli.options import AsJson, Url, output
from client.cli.preview import compute
from client.display.branches import branches
from client.display.result import plain
from client.forest import Count, Forest
from contract.pages import Preview, Proposal
from contract.studies import CreateStudy
from schedules import Schedule

GROUP = "switchback.epochs"
MOST = 1_000
ASSUMED = 100
"""Steps of an epoch where the budget is in steps and nobody knows: they matter to spans in epochs only."""

Trials = Sequence[Proposal]


def plan(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Study in YAML or JSON; - reads standard input.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="Look at most at so many trials.")] = MOST,
    steps_per_epoch: Annotated[
        int | None,
        typer.Option("--steps-per-epoch", min=1, help="Steps of one epoch; where a worker is installed, it knows."),
    ] = None,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, help="Trials a worker claims together: 4 for each of its lanes.")
    ] = 64,
    lines: Annotated[int, typer.Option("--lines", min=0, help="Lines of the drawing for each family.")] = 12,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Count what the trials of a study share, and draw where they part, spending nothing.

    Up to the step where seed, rates, momentum or weight decay first differ, the engine tree trains trials as one.
    """
    found = files.read(file)
    study = found.study()
    shown = compute(found, study, limit, url)
    steps, epoch = _horizon(study, steps_per_epoch)
    forest = Forest(study.task, shown.proposals, steps=steps, steps_per_epoch=epoch)
    families = {family: list(members) for family, members in groupby(sorted(forest.trials, key=_family), _family)}
    counts = {family: forest.count(members) for family, members in families.items()}
    together, claimed = forest.count(forest.trials), forest.count(forest.trials, at_once=at_once)
    if as_json:
        typer.echo(json.dumps(_as_json(steps, counts, together, claimed)))
        return
    console = output()
    console.print(_table({**counts, "all together": together}))
    for family, members in families.items():
        if lines and counts[family].needed < counts[family].whole:
            _draw(family, members, forest, lines, console=console)
    _sum_up(shown, forest, claimed, at_once, console=console)


def _family(trial: Proposal) -> str:
    return trial.family


def _horizon(study: CreateStudy, given: int | None) -> tuple[int, int]:
    """Total steps and steps per epoch."""
    known = given or _told_by_a_worker(study)
    if study.budget.steps is not None:
        return study.budget.steps, known or ASSUMED
    if known is None:
        rule = "only a worker knows the steps of an epoch, and none is installed here: give them"
        raise BadArgument(f"--steps-per-epoch: {rule}")
    return (study.budget.epochs or 0) * known, known


def _told_by_a_worker(study: CreateStudy) -> int | None:
    for point in entry_points(group=GROUP):
        ask: Callable[[str, int], int | None] = point.load()
        if (found := ask(study.task.key, study.task.batch_size)) is not None:
            return found
    return None


def _table(counts: dict[str, Count]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in ("schedule", "trials", "row-steps", "needed", "saved"):
        table.add_column(name, justify="left" if name == "schedule" else "right")
    for name, one in counts.items():
        numbers = (f"{one.trials:,}", f"{one.whole:,}", f"{one.needed:,}", f"{one.saving:.0%}")
        table.add_row(*map(Text, (name, *numbers)), style="bold" if name == "all together" else "")
    return table


def _draw(family: str, members: Trials, forest: Forest, most: int, *, console: Console) -> None:
    known = [one for one in members if isinstance(one.schedule, Schedule)]
    width = max(20, min(60, console.width - 16))
    drawn = branches(forest.tree(known), lambda place: f"#{known[place].number}", width=width, plain=plain(console))
    console.print(Text(family, style="bold"))
    for line in drawn[:most]:
        console.print(Text(line, no_wrap=True, overflow="ellipsis"))
    if len(drawn) > most:
        console.print(Text(f"and {len(drawn) - most} lines more (--lines)", style="dim"))
    console.print()


def _sum_up(shown: Preview, forest: Forest, claimed: Count, at_once: int, *, console: Console) -> None:
    for number, error in forest.unfit.items():
        console.print(Text(f"trial {number} does not fit {forest.steps} steps: {error}", style="red"))
    whole = "" if shown.planned is None else f" of {shown.planned}"
    words = (
        f"{len(shown.proposals)}{whole} trials of {forest.steps} steps. A worker that claims {at_once} at a time "
        f"computes {claimed.needed:,} row-steps of {claimed.whole:,}, {claimed.saving:.0%} saved. "
        "Nothing was submitted."
    )
    console.print(Text(words))


def _as_json(steps: int, families: dict[str, Count], together: Count, claimed: Count) -> dict[str, object]:
    def told(one: Count) -> dict[str, object]:
        return {"trials": one.trials, "row_steps": one.whole, "needed": one.needed, "saved": round(one.saving, 6)}

    return {
        "steps": steps,
        "families": {family: told(one) for family, one in families.items()},
        "together": told(together),
        "claimed": told(claimed),
    }
