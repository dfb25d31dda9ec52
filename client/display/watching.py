"""Follows a study on a terminal, live, or line by line where the output is no terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from client.display import words
from client.display.leaderboard import ending, leaderboard, progress
from client.errors import ServiceUnavailable
from client.studies import StudyClient
from contract.studies import LeaderboardEntry, StudyView

SHOWN = 10
ENOUGH = 3
"""Trials that must end while we look before their pace is trusted more than the device-seconds."""


@dataclass
class Pace:
    """When the rest will be done, from the trials that ended since the first look."""

    began_at: float | None = None
    began_with: int = 0

    def left_s(self, view: StudyView, now: float) -> float | None:
        """Seconds to go at monotonic time `now`; None while there is nothing to judge by."""
        ended, planned = words.done(view.progress), view.progress.planned
        if self.began_at is None:
            self.began_at, self.began_with = now, ended
        if planned is None or ended == 0:
            return None
        rest, since = planned - ended, ended - self.began_with
        if since >= ENOUGH:
            return (now - self.began_at) / since * rest
        if view.device_seconds > 0:
            return view.device_seconds / ended * rest / max(1, view.progress.leased)
        return None


@dataclass
class Screen:
    """What is on the terminal: the last view, the leaders, and whether the service is away."""

    view: StudyView
    leaders: list[LeaderboardEntry] = field(default_factory=list)
    eta_s: float | None = None
    away: str | None = None

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [Text(words.title(self.view), style="bold")]
        parts.append(progress(self.view, eta_s=self.eta_s))
        if self.away:
            parts.append(Text(f"service away, retrying: {self.away}", style="red"))
        if self.view.definition.search.method != "range_test" and self.leaders:
            parts.append(leaderboard(self.leaders, self.view.definition.objective))
        return Group(*parts)


def watch(
    client: StudyClient,
    study_id: int,
    *,
    console: Console,
    poll_s: float = 1.0,
    timeout_s: float | None = None,
    patience_s: float = 600.0,
) -> StudyView:
    """Show the study until it ends; the rules are those of `StudyClient.follow`."""
    show = _live if console.is_terminal else _lines
    return show(client, study_id, console, poll_s=poll_s, timeout_s=timeout_s, patience_s=patience_s)


def _live(
    client: StudyClient,
    study_id: int,
    console: Console,
    *,
    poll_s: float,
    timeout_s: float | None,
    patience_s: float,
) -> StudyView:
    screen = Screen(client.get(study_id))
    pace = Pace()

    def away(error: ServiceUnavailable) -> None:
        screen.away = str(error)

    with Live(screen, console=console, refresh_per_second=4):
        for view in client.follow(study_id, poll_s=poll_s, timeout_s=timeout_s, patience_s=patience_s, away=away):
            screen.view, screen.away = view, None
            screen.eta_s = pace.left_s(view, time.monotonic())
            try:
                screen.leaders = client.leaderboard(study_id, limit=SHOWN).items
            except ServiceUnavailable as error:
                screen.away = str(error)
    return screen.view


def _lines(
    client: StudyClient,
    study_id: int,
    console: Console,
    *,
    poll_s: float,
    timeout_s: float | None,
    patience_s: float,
) -> StudyView:
    told: list[str] = []

    def tell(line: str) -> None:
        if not told or told[-1] != line:
            told[:] = [line]
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def away(error: ServiceUnavailable) -> None:
        tell(f"service away, retrying: {error}")

    view = client.get(study_id)
    tell(words.title(view))
    for view in client.follow(study_id, poll_s=poll_s, timeout_s=timeout_s, patience_s=patience_s, away=away):
        tell(_line(view))
    return view


def _line(view: StudyView) -> str:
    line = f"{view.status}: {words.counts(view)}"
    range_test = view.definition.search.method == "range_test"
    if view.best is not None and view.best.mean is not None and not range_test:
        line += f", best {view.definition.objective.metric} {words.score(view.best)} ({view.best.family})"
    return f"{line}; waiting: {view.waiting}" if view.waiting else line


def conclusion(view: StudyView, console: Console) -> None:
    """One line: how the study ended."""
    console.print(Text(f"study {view.id} ").append_text(ending(view)), soft_wrap=True)
