"""Schedules drawn as one self-contained SVG: no script, no style sheet, no font file, readable on light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from schedules.errors import ScheduleError
from schedules.traces import (
    UNKNOWN,
    Axis,
    Curve,
    Trace,
    horizon,
    known,
    momentum_axis,
    number,
    rate_axis,
    sample,
    step_ticks,
)

# Contrast of at least 3:1 on white and on #0d1117 alike: an <img> cannot know its page's background.
COLOURS = ("#2f81f7", "#db6d28", "#2da44e", "#bf4fb8", "#b8860b", "#e5534b", "#1b9aaa", "#8072d8")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
INK = "#767e88"
FONT = "system-ui, sans-serif"
SAMPLES_PER_PIXEL = 4
PRECISION_PX = 0.1
LEGEND_ROW, FOOT, RIGHT, TOP, GAP = 18, 40, 16, 24, 30


@dataclass(frozen=True, slots=True)
class Panel:
    """A plot area in pixels with its vertical axis."""

    left: float
    top: float
    width: float
    height: float
    axis: Axis
    total_steps: int

    def x(self, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.left + self.width * steps / self.total_steps

    def y(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.top + self.height * (1 - self.axis.place(values))


def svg(bounds: Mapping[str, Curve], *, width: int = 720, height: int = 360, log: bool = False) -> str:
    """The rates of `bounds` (momentum below where it is driven) as an SVG document of `width` x `height` pixels.

    Of a schedule that answers to a metric the drawing says so, in words below the others' curves.
    """
    if not 200 <= width <= 10_000:
        raise ScheduleError("width", "need 200 to 10000 pixels", width)
    drawn, unknown = known(bounds)
    words = [f"{name}: {UNKNOWN}" for name in unknown]
    below = LEGEND_ROW * len(words)
    if not drawn and words and not below <= height <= 10_000:
        raise ScheduleError("height", f"need {below} to 10000 pixels for {len(words)} lines of words", height)
    body, facts = _plot(drawn, width, height, below, log=log) if drawn or not words else ([], "")
    top = height - below + 8 if drawn else (height - below + LEGEND_ROW) / 2
    body += [_text((18, top + LEGEND_ROW * index), line, "start") for index, line in enumerate(words)]
    return _document(body, list(bounds), ". ".join(filter(None, [facts, *words])), (width, height))


def _plot(bounds: Mapping[str, Curve], width: int, height: int, below: int, *, log: bool) -> tuple[list[str], str]:
    """The elements of the drawing, which leaves room `below`, and what it shows in words."""
    rates, momenta = sample(bounds, width * SAMPLES_PER_PIXEL)
    least = TOP + FOOT + LEGEND_ROW * len(rates) + 100 + (60 if momenta else 0) + below
    if not least <= height <= 10_000:
        raise ScheduleError("height", f"need {least} to 10000 pixels for {len(rates)} curves", height)
    height -= below
    axes = [rate_axis(rates, log=log, most_ticks=6)] + ([momentum_axis(momenta)] if momenta else [])
    left = 18 + 7 * max(len(number(tick)) for axis in axes for tick in axis.ticks)
    panels = _panels(axes, left, width, height - LEGEND_ROW * len(rates), horizon(bounds))
    colours = {name: index for index, name in enumerate(bounds)}
    body: list[str] = []
    for panel, traces, title in zip(panels, (rates, momenta), ("learning rate", "momentum"), strict=False):
        body += _grid(panel, title)
        body += [_path(panel, trace, colours[trace.name]) for trace in traces]
    body += _foot(panels[-1])
    body += _legend(rates, left, height - LEGEND_ROW * len(rates) + 8)
    return body, _facts(rates, horizon(bounds), axes[0])


def _panels(axes: list[Axis], left: float, width: int, height: int, total_steps: int) -> list[Panel]:
    room = height - TOP - FOOT - GAP * (len(axes) - 1)
    shares = (1.0,) if len(axes) == 1 else (0.72, 0.28)
    panels, top = [], float(TOP)
    for axis, share in zip(axes, shares, strict=True):
        panels.append(Panel(left, top, width - left - RIGHT, room * share, axis, total_steps))
        top += room * share + GAP
    return panels


def _facts(rates: list[Trace], total_steps: int, axis: Axis) -> str:
    curves = "; ".join(
        f"{trace.name}: peak {number(trace.peak)}, last {number(trace.last)} over {trace.total_steps} steps"
        for trace in rates
    )
    scale = f"logarithmic from {number(axis.low)}" if axis.log else "linear"
    return f"{curves}. {total_steps} steps across, {scale} scale"


def _document(body: list[str], names: list[str], facts: str, size: tuple[int, int]) -> str:
    title = escape(f"Learning rate of {', '.join(names)}")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}"'
            f' width="{size[0]}" height="{size[1]}" role="img" font-family="{FONT}" font-size="12">',
            f"<title>{title}</title>",
            f"<desc>{escape(facts)}.</desc>",
            *body,
            "</svg>",
        ]
    )


def _grid(panel: Panel, title: str) -> list[str]:
    right, bottom = panel.left + panel.width, panel.top + panel.height
    parts = []
    for tick, y in zip(panel.axis.ticks, panel.y(np.array(panel.axis.ticks)), strict=True):
        parts.append(_line((panel.left, y), (right, y), 0.25))
        parts.append(_text((panel.left - 6, y + 4), number(tick), "end"))
    parts.append(_line((panel.left, panel.top), (panel.left, bottom), 0.8))
    parts.append(_line((panel.left, bottom), (right, bottom), 0.8))
    parts.append(_text((panel.left, panel.top - 8), title, "start"))
    return parts


def _foot(panel: Panel) -> list[str]:
    parts = []
    bottom = panel.top + panel.height
    ticks = step_ticks(panel.total_steps, most=5)
    for index, (step, label, percent) in enumerate(ticks):
        x = float(panel.x(np.array(float(step))))
        anchor = "start" if index == 0 else "end" if index == len(ticks) - 1 else "middle"
        parts.append(_line((x, bottom), (x, bottom + 4), 0.8))
        parts.append(_text((x, bottom + 17), label if index < len(ticks) - 1 else f"{label} steps", anchor))
        parts.append(_text((x, bottom + 31), percent, anchor))
    return parts


def _legend(rates: list[Trace], left: float, top: float) -> list[str]:
    parts = []
    for index, trace in enumerate(rates):
        y = top + LEGEND_ROW * index
        parts.append(f'<path d="M{left:g} {y:g}h24" {_stroke(index)}/>')
        facts = f"{trace.name} (peak {number(trace.peak)}, last {number(trace.last)})"
        parts.append(_text((left + 32, y + 4), facts, "start"))
    return parts


def _path(panel: Panel, trace: Trace, index: int) -> str:
    """The curve: values held to the next step while steps are wider than a pixel, joined by lines otherwise."""
    steps = np.append(trace.steps, trace.total_steps).astype(np.float64)
    values = np.append(trace.values, trace.values[-1])
    if panel.width > panel.total_steps:
        steps, values = np.repeat(steps, 2)[1:], np.repeat(values, 2)[:-1]
    points = np.column_stack([panel.x(steps), panel.y(values)])
    points = points[_kept(points)]
    moves = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
    return f'<polyline points="{moves}" {_stroke(index)}><title>{escape(trace.name)}</title></polyline>'


def _kept(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Douglas-Peucker: the points needed for the line to stay within PRECISION_PX of all of them."""
    kept = np.zeros(len(points), dtype=np.bool_)
    kept[[0, -1]] = True
    open_ranges = [(0, len(points) - 1)]
    while open_ranges:
        first, last = open_ranges.pop()
        if last - first < 2:
            continue
        start, chord = points[first], points[last] - points[first]
        inner = points[first + 1 : last] - start
        length = float(np.hypot(*chord))
        away = np.abs(inner[:, 0] * chord[1] - inner[:, 1] * chord[0]) / length if length else np.hypot(*inner.T)
        farthest = int(away.argmax())
        if away[farthest] > PRECISION_PX:
            middle = first + 1 + farthest
            kept[middle] = True
            open_ranges += [(first, middle), (middle, last)]
    return kept


def _stroke(index: int) -> str:
    # The dash changes with the colour's second round and within it, so that no two of the first 32 curves look alike.
    dash = DASHES[(index + index // len(COLOURS)) % len(DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{COLOURS[index % len(COLOURS)]}" stroke-width="1.8" stroke-linejoin="round"{dashes}'


def _line(start: tuple[float, float], end: tuple[float, float], opacity: float) -> str:
    return (
        f'<line x1="{_short(start[0])}" y1="{_short(start[1])}" x2="{_short(end[0])}" y2="{_short(end[1])}"'
        f' stroke="{INK}" stroke-opacity="{opacity}"/>'
    )


def _text(at: tuple[float, float], text: str, anchor: str) -> str:
    return f'<text x="{_short(at[0])}" y="{_short(at[1])}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'


def _short(pixels: float) -> str:
    return f"{pixels:.2f}".rstrip("0").rstrip(".")
