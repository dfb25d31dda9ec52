"""What a study found: the winner with its drawing and code, or the reading of a range test."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from client.display import words
from client.display.leaderboard import leaderboard
from client.display.lossplot import loss_plot
from client.errors import NoResultYet
from client.studies import StudyClient
from contract.studies import BestView, LeaderboardEntry, RangeTestView, StudyView
from contract.trials import RateCurve
from schedules.draw import terminal
from schedules.traces import Curve, Recorded

SHOWN = 10


def show_result(client: StudyClient, view: StudyView, console: Console) -> bool:
    """Show what the study has found so far; whether that is anything."""
    if view.progress.failed:
        _show_failure(client, view, console)
    if view.definition.search.method == "range_test":
        found = client.range_test(view.id)
        show_range_test(found, console)
        return found.suggestion is not None
    try:
        best = client.best(view.id)
    except NoResultYet:
        console.print(Text("No trial has finished with a value, so there is no winner.", style="yellow"))
        return False
    console.print(leaderboard(client.leaderboard(view.id, limit=SHOWN).items, view.definition.objective))
    # What answers to a metric has no rates but those the trial used.
    used = client.curves(view.id, trials=[best.trial_id]).rates if best.schedule.needs_metric else []
    show_best(best, used[0] if used else None, console)
    return True


def show_best(best: BestView, used: RateCurve | None, console: Console) -> None:
    """The winner: parameters, metrics of its best trial, its rate drawn (`used`, where given), and its code."""
    console.print(Text("winner  ", style="bold").append(_winner(best.entry), style="bold green"))
    seeds = f"{best.entry.complete} seed{'' if best.entry.complete == 1 else 's'}"
    console.print(f"{best.objective.metric}: {words.score(best.entry)}, {seeds}", highlight=False)
    console.print(_metrics(best), highlight=False, soft_wrap=True)
    curve: Curve = best.schedule.bind(best.total_steps, best.steps_per_epoch)
    if used is not None:
        curve = Recorded(best.total_steps, np.array(used.steps, dtype=np.int64), np.array(used.lr))
    width = max(40, min(78, console.width - 2))
    console.print()
    console.print(Text(terminal({best.entry.family: curve}, width=width, plain=plain(console)), no_wrap=True))
    console.print()
    show_snippet(best, console)


def show_snippet(best: BestView, console: Console) -> None:
    """The code, coloured on a terminal and untouched elsewhere."""
    if console.is_terminal:
        # As soft-wrapped text: a line longer than the terminal is whole when it is copied.
        console.print(Syntax("", "python", background_color="default").highlight(best.snippet), soft_wrap=True)
    else:
        console.print(best.snippet, markup=False, highlight=False, soft_wrap=True)


def show_range_test(found: RangeTestView, console: Console) -> None:
    """The suggestion with its reason, other rules' answers, and the smoothed loss against the rate."""
    if found.smoothed_lr:
        width = max(30, min(64, console.width - 16))
        drawn = loss_plot(found.smoothed_lr, found.smoothed_loss, mark=found.suggestion, width=width)
        console.print(Text(f"smoothed loss over {len(found.curves)} seeds", style="bold"))
        console.print(Text(drawn, no_wrap=True))
    if found.suggestion is None:
        console.print(Text("no suggestion", style="bold yellow").append(f": {found.reason}", style="not bold"))
    else:
        console.print(
            Text("suggestion  ", style="bold")
            .append(f"lr = {words.value(found.suggestion, 3)}", style="bold green")
            .append(f": {found.reason}", style="not bold")
        )
    if found.low is not None and found.high is not None:
        console.print(f"search between {words.value(found.low, 3)} and {words.value(found.high, 3)}", highlight=False)
    if found.rules:
        said = ", ".join(f"{name} {words.value(rate, 3)}" for name, rate in found.rules.items())
        console.print(f"other rules: {said}", highlight=False)


def _show_failure(client: StudyClient, view: StudyView, console: Console) -> None:
    """Why the first trial that failed did; the others are on the dashboard."""
    for row in client.trials(view.id, status="failed", limit=1).items:
        reason = client.trial(row.id).reason or "no reason given"
        console.print(Text(f"trial {row.number} failed: {reason.strip()}", style="red"), soft_wrap=True)


def _winner(entry: LeaderboardEntry) -> str:
    return f"{entry.family}  {words.parameters(entry.params)}"


def _metrics(best: BestView) -> str:
    shown = ", ".join(f"{name} {words.value(number)}" for name, number in sorted(best.metrics.items()))
    return f"its best trial: {shown}"


def plain(console: Console) -> bool:
    """Whether the terminal cannot show braille."""
    return not console.encoding.lower().startswith("utf")
