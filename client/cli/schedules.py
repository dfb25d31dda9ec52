"""`switchback schedules`: what a study can search over, explained and drawn."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.cli.failures import BadArgument
from client.cli.options import output
from client.display.result import plain
from schedules.draw import terminal
from schedules.presets import REGISTRY, Preset


def schedules(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Families to explain.")] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, max=10_000_000, help="Horizon of the drawing.")] = 1_000,
    log: Annotated[bool, typer.Option("--log", help="Draw the rate on a logarithmic axis.")] = False,
) -> None:
    """List the schedule families, or explain some and draw them on one plot.

    The drawing shows each family at its defaults and a peak rate of 1. Needs no running service.
    """
    console = output()
    if not names:
        console.print(_list())
        return
    presets = [_named(name) for name in names]
    for preset in presets:
        console.print(_explained(preset))
    _draw(presets, steps, console, log=log)


def _named(name: str) -> Preset:
    if name not in REGISTRY:
        near = get_close_matches(name, REGISTRY, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; `switchback schedules` lists them"
        raise BadArgument(f"NAME: must be a schedule family, got {name!r}{hint}")
    return REGISTRY[name]


def _list() -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("family", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for preset in REGISTRY.values():
        table.add_row(Text(preset.name), Text(preset.summary))
    return table


def _explained(preset: Preset) -> Table:
    table = Table(
        title=Text(f"{preset.name}: {preset.summary}\n{preset.formula}\n{preset.source}"),
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
    )
    for name in ("parameter", "default", "rule", "search"):
        table.add_column(name, overflow="fold")
    for one in preset.parameters:
        search = "" if one.search is None else ", ".join(f"{key}: {value}" for key, value in one.search.items())
        table.add_row(*map(Text, (one.name, str(one.default), one.rule, search)))
    return table


def _draw(presets: list[Preset], steps: int, console: Console, *, log: bool) -> None:
    bounds = {preset.name: preset.build(lr=1.0).bind(steps, max(1, steps // 10)) for preset in presets}
    drawn = terminal(bounds, width=min(console.width, 76), log=log, plain=plain(console))
    console.print(Text(drawn, no_wrap=True))
