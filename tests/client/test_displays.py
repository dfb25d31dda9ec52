"""What a terminal shows: numbers in words, the plot of a range test, a study followed live."""

from __future__ import annotations

import io
import math

import httpx2
import pytest
from rich.console import Console
from wire import client, shown, view

from client.display import words
from client.display.leaderboard import leaderboard, progress
from client.display.lossplot import loss_plot
from client.display.watching import Pace, watch
from contract.studies import LeaderboardEntry, Objective

RATES = [10 ** (-5 + 6 * index / 99) for index in range(100)]
VALLEY = [0.5 + abs(math.log10(rate) + 1) for rate in RATES]
EMPTY = httpx2.Response(200, json={"items": [], "next": None})
REFUSED = httpx2.ConnectError("Connection refused")


def entry(**changes: object) -> LeaderboardEntry:
    base = {"rank": 1, "config": "a", "family": "rex", "params": {"d": 2, "lr": 0.0312345, "warmup": "5%"}}
    rest = {"mean": 0.123456, "std": None, "complete": 1, "diverged": 0, "trial_ids": [1]}
    return LeaderboardEntry.model_validate(base | rest | changes)


def printed(*what: object, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=terminal)
    console.print(*what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (9000, "2 h 30 min")]
)
def test_durations_are_said_in_two_units(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_the_rate_comes_first_among_the_parameters() -> None:
    assert words.parameters({"d": 2, "lr": 0.0312345, "warmup": "5%"}) == "lr=0.03123 d=2 warmup=5%"


def test_a_score_over_seeds_has_its_deviation() -> None:
    assert words.score(entry(std=0.0123, complete=3)) == "0.1235 ± 0.012"
    assert words.score(entry(mean=None)) == "-"


def test_the_leaderboard_tells_which_seeds_diverged() -> None:
    table = printed(leaderboard([entry(), entry(rank=2, mean=None, complete=0, diverged=3)], Objective()))
    assert "lr=0.03123 d=2 warmup=5%" in table
    assert "0 (3 diverged)" in table


def test_names_from_outside_are_never_taken_for_markup() -> None:
    assert "5[/bold]" in printed(leaderboard([entry(params={"x": "5[/bold]"})], Objective()))


def test_progress_tells_why_nothing_moves() -> None:
    waiting = view().model_copy(update={"waiting": "no worker can train digits/mlp"})
    assert "waiting: no worker can train digits/mlp" in printed(progress(waiting, eta_s=None))


def test_the_rest_is_judged_by_the_pace_since_the_first_look() -> None:
    pace = Pace()
    pace.left_s(view(complete=0), now=100.0)
    assert pace.left_s(view(complete=3), now=130.0) == pytest.approx(10.0)


def test_before_that_the_rest_is_judged_by_the_device_seconds() -> None:
    pace = Pace()
    assert pace.left_s(view(complete=0), now=100.0) is None
    assert pace.left_s(view(complete=1), now=100.0) == pytest.approx(6.0)


def test_the_plot_puts_the_valley_under_its_rate() -> None:
    rows = loss_plot(RATES, VALLEY, mark=0.1, width=61, height=8).splitlines()
    gutter = rows[0].index("│") + 1
    lowest = [column - gutter for column, cell in enumerate(rows[7]) if "⠀" < cell <= "⣿"]
    assert sum(lowest) / len(lowest) == pytest.approx(40, abs=1.5)  # 4 of 6 decades of 60 columns
    assert rows[-1].index("▲") - gutter == 40


def test_the_axis_names_every_decade() -> None:
    axis = loss_plot(RATES, VALLEY, width=61).splitlines()[-1]
    assert axis.split() == ["1e-5", "1e-4", "1e-3", "1e-2", "1e-1", "1e0", "1e1", "lr"]


def test_an_explosion_does_not_flatten_the_valley() -> None:
    exploding = [loss if rate < 0.5 else 1e9 for rate, loss in zip(RATES, VALLEY, strict=True)]
    assert loss_plot(RATES, exploding).splitlines()[0].split()[0] == "5.1"


@pytest.mark.parametrize(
    "losses", [[1.0] * 100, [math.nan] * 100, [1.0] + [math.inf] * 99, sorted(VALLEY), [-loss for loss in VALLEY]]
)
def test_every_curve_can_be_drawn(losses: list[float]) -> None:
    assert loss_plot(RATES, losses, width=30, height=3)


def test_without_a_terminal_each_change_is_a_line_of_its_own() -> None:
    console = Console(file=io.StringIO(), width=40)
    answers = (shown(view()), shown(view()), REFUSED, REFUSED, shown(view("complete", complete=4)))
    watch(client(*answers), 7, console=console, poll_s=0.001)
    assert isinstance(console.file, io.StringIO)
    title, *lines = console.file.getvalue().splitlines()
    assert title == "study 7 · rates · tpe on digits/mlp · minimize val_loss"
    assert [line.split(",")[0] for line in lines] == ["running: 0/4 trials", "service away", "complete: 4/4 trials"]


def test_on_a_terminal_the_study_is_shown_live_through_an_absence() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    page = httpx2.Response(200, json={"items": [entry().model_dump()], "next": None})
    answers = (shown(view()), shown(view()), EMPTY, REFUSED, REFUSED, shown(view("complete", complete=4)), page)
    ended = watch(client(*answers), 7, console=console, poll_s=0.3)
    assert isinstance(console.file, io.StringIO)
    screen = console.file.getvalue()
    assert ended.status == "complete"
    assert [part in screen for part in ("service away, retrying", "4/4 trials", "lr=0.03123")] == [True] * 3
