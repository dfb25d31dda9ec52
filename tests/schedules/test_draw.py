"""The terminal and SVG drawings, read back and compared with the curves they draw."""

from __future__ import annotations

import itertools
import time
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from schedules import BoundSchedule, Once, OneCycle, ReduceOnPlateau, Restarts, Schedule, ScheduleError
from schedules.draw import BRAILLE, terminal
from schedules.figure import figure
from schedules.momentum import Against
from schedules.profiles import Cosine, Exponential, Linear, Steps
from schedules.svg import COLOURS, INK, _stroke, svg
from schedules.traces import Recorded

COSINE = Schedule(lr=0.1, shape=Once(profile=Cosine()))
LINEAR = Schedule(lr=0.08, shape=Once(profile=Linear()))
STEPPED = Schedule(lr=0.1, shape=Once(profile=Steps(at=(0.5, 0.75))))
RESTARTS = Schedule(lr=0.1, shape=Restarts(cycles=4))
ONECYCLE = Schedule(lr=0.1, shape=OneCycle(), momentum=Against())
EXPONENTIAL = Schedule(lr=0.1, shape=Once(profile=Exponential(ratio=1e-4)))
SVG = "{http://www.w3.org/2000/svg}"


def dots(text: str) -> np.ndarray:
    """The braille dots of the first panel, as a boolean array [down, across], row 0 on top."""
    rows = list(itertools.takewhile(lambda line: "└" not in line and "momentum" not in line, text.splitlines()))
    cells = [line[max(line.find("┤"), line.find("│")) + 1 :] for line in rows]
    codes = np.array([[max(ord(c) - 0x2800, 0) for c in line.ljust(max(map(len, cells)))] for line in cells])
    return ((codes[:, None, :, None] & BRAILLE[None, :, None, :]) > 0).reshape(4 * len(cells), -1)


@pytest.mark.parametrize("schedule", [COSINE, STEPPED, RESTARTS, ONECYCLE], ids=lambda schedule: schedule.shape.kind)
@pytest.mark.parametrize("total_steps", [3, 40, 997, 250_000])
def test_the_dots_of_a_curve_lie_on_the_curve(schedule: Schedule, total_steps: int) -> None:
    bound = schedule.bind(total_steps)
    text = terminal({"one": bound}, height=11)
    drawn, top = dots(text), float(text.split()[0])
    tall, wide = drawn.shape
    levels = np.rint((1 - bound.lr(np.arange(wide) * total_steps // wide) / top) * (tall - 1)).astype(int)
    near = [drawn[max(level - 1, 0) : level + 2, column].any() for column, level in enumerate(levels)]
    assert np.mean(near) > 0.99


def test_a_restart_inside_one_column_is_drawn_over_its_whole_height() -> None:
    drawn = dots(terminal({"sgdr": RESTARTS.bind(100_000)}, height=11))
    full = np.flatnonzero(drawn.sum(axis=0) > 0.9 * len(drawn))
    assert len(full) == 3


@pytest.mark.parametrize(("width", "height"), [(24, 3), (60, 8), (72, 12), (200, 40)])
@pytest.mark.parametrize("plain", [False, True])
def test_the_drawing_keeps_to_its_width_and_height(width: int, height: int, plain: bool) -> None:
    lines = terminal({"a": ONECYCLE.bind(500)}, width=width, height=height, plain=plain).splitlines()
    assert max(len(line) for line in lines[:-1]) <= width
    assert height // 2 < sum("momentum" not in line for line in lines) - 3 - max(3, height // 4) - 1 <= height


def test_plain_drawings_are_ascii_with_a_letter_per_curve() -> None:
    text = terminal({"cosine": COSINE.bind(90), "stepped": STEPPED.bind(90)}, plain=True)
    assert text.isascii()
    assert text.count("a") > 40
    assert text.count("b") > 40


def test_every_curve_of_a_plot_carries_its_letter_and_the_legend_names_it() -> None:
    bounds = {"cosine": COSINE.bind(90), "linear": LINEAR.bind(90), "stepped": STEPPED.bind(90)}
    *plot, first, second, third = terminal(bounds).splitlines()
    assert [line.split()[:2] for line in (first, second, third)] == [["a", "cosine"], ["b", "linear"], ["c", "stepped"]]
    assert all(sum(letter in line for line in plot[:-3]) >= 2 for letter in "abc")


def test_momentum_has_a_strip_of_its_own_only_where_it_is_driven() -> None:
    assert "momentum" not in terminal({"cosine": COSINE.bind(90)})
    strip = terminal({"cosine": COSINE.bind(90), "onecycle": ONECYCLE.bind(90)}).partition("momentum\n")[2]
    assert "0.95 ┤" in strip
    assert "0.85 ┤" in strip


def test_an_exponential_decay_is_a_straight_line_on_a_log_axis() -> None:
    drawn = dots(terminal({"exponential": EXPONENTIAL.bind(10_000)}, log=True, height=9))
    tall, wide = drawn.shape
    middle = drawn.argmax(axis=0)
    np.testing.assert_allclose(middle, np.linspace(0, tall - 1, wide), atol=1)


def test_a_log_axis_says_what_it_cannot_show() -> None:
    assert "rates below 1e-05 are drawn on the axis" in terminal(
        {"a": EXPONENTIAL.bind(10), "b": LINEAR_TO_NOTHING}, log=True
    )


def test_a_shorter_schedule_ends_where_its_steps_end() -> None:
    drawn = dots(terminal({"short": COSINE.bind(500), "long": Schedule(lr=0.1).bind(1000)}, height=11))
    assert drawn[:, drawn.shape[1] * 55 // 100 :][4:].sum() == 0


@pytest.mark.parametrize("total_steps", [1, 2])
def test_the_smallest_horizons_are_drawn(total_steps: int) -> None:
    bounds = {"cosine": COSINE.bind(total_steps), "onecycle": ONECYCLE.bind(total_steps)}
    assert f"{total_steps} steps" in terminal(bounds)
    assert ET.fromstring(svg(bounds)).tag == f"{SVG}svg"


def test_a_million_steps_are_drawn_at_once() -> None:
    bounds = {"sgdr": RESTARTS.bind(10**6), "onecycle": ONECYCLE.bind(10**6)}
    began = time.perf_counter()
    terminal(bounds)
    svg(bounds)
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"width": 23}, "^width: need 24 to 1000 columns, got 23"),
        ({"width": 1001}, "^width"),
        ({"height": 2}, "^height: need 3 to 200 rows, got 2"),
        ({"height": 201}, "^height"),
    ],
)
def test_sizes_that_cannot_hold_a_drawing_are_refused(options: dict[str, int], match: str) -> None:
    with pytest.raises(ScheduleError, match=match):
        terminal({"a": COSINE.bind(10)}, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"width": 199}, r"^width: need 200 to 10000 pixels, got 199"),
        ({"width": 10**9}, r"^width"),
        ({"height": 150}, r"^height: need 182 to 10000 pixels for 1 curves, got 150"),
    ],
)
def test_sizes_that_cannot_hold_an_svg_are_refused(options: dict[str, int], match: str) -> None:
    with pytest.raises(ScheduleError, match=match):
        svg({"a": COSINE.bind(10)}, **options)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"^bounds: need at least one schedule, got 0"):
        terminal({})


def polylines(document: str) -> list[np.ndarray]:
    found = ET.fromstring(document).iter(f"{SVG}polyline")
    return [np.array([point.split(",") for point in line.attrib["points"].split()], dtype=float) for line in found]


@pytest.mark.parametrize("schedule", [COSINE, ONECYCLE, RESTARTS], ids=lambda schedule: schedule.shape.kind)
def test_the_svg_line_stays_within_a_pixel_of_the_curve(schedule: Schedule) -> None:
    bound = schedule.bind(20_000)
    line = polylines(svg({"one": bound}))[0]
    steps = np.arange(0, 20_000, 7)
    x = line[0, 0] + (line[-1, 0] - line[0, 0]) * steps / 20_000
    bottom, top = line[:, 1].max(), line[:, 1].min()
    expected = bottom - (bottom - top) * bound.lr(steps) / 0.1
    near = np.abs(np.interp(x, line[:, 0], line[:, 1]) - expected) < 1.0
    assert near.mean() > 0.995
    assert len(line) < 400


def test_the_svg_is_self_contained_and_says_what_it_shows() -> None:
    root = ET.fromstring(svg({"cosine": COSINE.bind(90), "onecycle": ONECYCLE.bind(90)}, log=True))
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags == {"svg", "title", "desc", "line", "path", "polyline", "text"}
    assert "cosine: peak 0.1" in (root.findtext(f"{SVG}desc") or "")


def test_labels_cannot_leave_their_text() -> None:
    name = '<script>alert("1")</script> & more'
    document = svg({name: COSINE.bind(90)})
    assert "<script" not in document
    assert any(name in (element.text or "") for element in ET.fromstring(document).iter(f"{SVG}text"))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_every_colour_can_be_told_from_a_light_and_a_dark_page(page: str) -> None:
    for colour, least in [*((colour, 3.0) for colour in COLOURS), (INK, 4.0)]:
        low, high = sorted((luminance(colour), luminance(page)))
        assert (high + 0.05) / (low + 0.05) >= least


def test_no_two_of_the_first_curves_are_drawn_alike() -> None:
    assert len({_stroke(index) for index in range(32)}) == 32


@pytest.mark.parametrize("backend", ["matplotlib", "plotly"])
def test_a_figure_holds_the_curves_and_the_momentum_below(backend: str) -> None:
    pytest.importorskip(backend)
    drawing = figure({"cosine": COSINE.bind(90), "onecycle": ONECYCLE.bind(90)}, log=True, backend=backend)  # type: ignore[arg-type]
    if backend == "plotly":
        lines = [(np.array(line.x), np.array(line.y)) for line in drawing.data]
    else:
        lines = [(line.get_xdata(), line.get_ydata()) for axes in drawing.axes for line in axes.lines]
    assert len(lines) == 3
    for (x, y), expected in zip(
        lines, (COSINE.bind(90).lr, ONECYCLE.bind(90).lr, ONECYCLE.bind(90).momentum), strict=True
    ):
        np.testing.assert_array_equal(y[:-1], expected(x[:-1]))


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"^backend: need one of auto, matplotlib, plotly, got ggplot"):
        figure({"cosine": COSINE.bind(9)}, backend="ggplot")  # type: ignore[arg-type]


LINEAR_TO_NOTHING: BoundSchedule = Schedule(lr=0.1, shape=Once(profile=Linear()), accounting="closed").bind(10)


PLATEAU = ReduceOnPlateau(lr=0.1).bind(100)


def test_what_answers_to_a_metric_is_named_in_words_below_the_curves_of_the_others() -> None:
    alone = terminal({"cosine": COSINE.bind(100)})
    both = terminal({"cosine": COSINE.bind(100), "plateau": PLATEAU})
    assert both == f"{alone}\nplateau: follows the metric, not known before training"
    assert terminal({"plateau": PLATEAU}) == "plateau: follows the metric, not known before training"


def test_an_svg_has_a_line_of_words_for_each_that_answers_to_a_metric_and_no_curve() -> None:
    drawing = svg({"cosine": COSINE.bind(100), "plateau": PLATEAU, "greedy": PLATEAU})
    words = [text.text for text in ET.fromstring(drawing).iter(f"{SVG}text") if "follows" in (text.text or "")]
    assert [line.partition(":")[0] for line in words if line] == ["plateau", "greedy"]
    assert drawing.count("<polyline") == 1


def test_a_figure_of_what_nobody_knows_yet_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"^bounds\['plateau'\]: need rates that are known before training"):
        figure({"plateau": PLATEAU}, backend="plotly")


def test_rates_that_were_recorded_are_drawn_as_any_others() -> None:
    recorded = Recorded(100, np.array([0, 49, 50, 99]), np.array([0.1, 0.1, 0.01, 0.01]))
    assert recorded.lr(np.array([0, 20, 49, 50, 99])).tolist() == [0.1, 0.1, 0.1, 0.01, 0.01]
    assert svg({"plateau": recorded}).count("<polyline") == 1
