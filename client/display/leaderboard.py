"""The leaderboard as a table, the progress of a study as a bar and a line."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from client.display import words
from contract.studies import LeaderboardEntry, Objective, StudyView

STATUS_STYLES = {"running": "cyan", "paused": "yellow", "complete": "green", "stopped": "yellow", "failed": "red"}


def leaderboard(entries: Sequence[LeaderboardEntry], objective: Objective) -> Table:
    """Configurations, best first; the mean and standard deviation are over the seeds that finished."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("#", justify="right", style="dim")
    table.add_column("schedule", no_wrap=True)
    table.add_column("parameters", overflow="fold", ratio=1)
    table.add_column(objective.metric, justify="right", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    for entry in entries:
        diverged = f" ({entry.diverged} diverged)" if entry.diverged else ""
        style = "bold green" if entry.rank == 1 and entry.mean is not None else None
        seeds = f"{entry.complete}{diverged}"
        cells = (str(entry.rank), entry.family, words.parameters(entry.params), words.score(entry), seeds)
        table.add_row(*map(Text, cells), style=style)
    return table


def progress(view: StudyView, *, eta_s: float | None) -> RenderableType:
    """A bar over the planned trials, their states, and how long the rest may take."""
    ended = words.done(view.progress)
    planned = view.progress.planned
    bar = ProgressBar(total=planned, completed=ended, pulse=planned is None and view.status == "running", width=40)
    facts = Text(words.counts(view))
    if view.status == "running" and eta_s is not None:
        facts.append(f", about {words.duration(eta_s)} left", style="dim")
    row = Table.grid(padding=(0, 2))
    row.add_row(bar, facts)
    lines: list[RenderableType] = [row]
    if view.waiting and view.status == "running":
        lines.append(Text(f"waiting: {view.waiting}", style="yellow"))
    return Group(*lines)


def ending(view: StudyView) -> Text:
    """How the study stands, and why it ended."""
    reason = f": {view.reason}" if view.reason else ""
    return Text(f"{view.status}{reason}", style=STATUS_STYLES[view.status])
