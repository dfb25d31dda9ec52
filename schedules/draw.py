"""Schedules drawn as text for a terminal; `svg` from here too, so that a caller finds both in one place."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schedules.errors import ScheduleError
from schedules.svg import svg
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

__all__ = ["svg", "terminal"]

Masks = NDArray[np.bool_]

LETTERS = string.ascii_lowercase + string.ascii_uppercase
# Bit of the dot at (row, column) of a braille cell of 4 x 2 dots, Unicode block U+2800.
BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.int64)
SAMPLES_PER_DOT = 8


@dataclass(frozen=True, slots=True)
class Pen:
    """What is drawn with: `dots` per character cell as (down, across), and the characters of the frame."""

    dots: tuple[int, int]
    side: str
    tick: str
    corner: str
    floor: str
    foot: str


UNICODE = Pen((4, 2), "│", "┤", "└", "─", "┬")
ASCII = Pen((1, 1), "|", "+", "+", "-", "+")


def terminal(
    bounds: Mapping[str, Curve],
    *,
    width: int = 72,
    height: int = 12,
    log: bool = False,
    plain: bool = False,
) -> str:
    """The rates of `bounds` as text of `width` columns, `height` rows for the rate, momentum below where it is driven.

    Each value is drawn over the whole update it is in force for, up to the horizon. Several curves carry a letter each,
    set where they run alone; the legend names it. `plain` draws with ASCII only. Of a schedule that answers to a metric
    the text says so instead.
    """
    _check(bounds, width, height)
    drawn, unknown = known(bounds)
    plot = _plot(drawn, width, height, ASCII if plain else UNICODE, log=log) if drawn or not unknown else []
    return "\n".join([*plot, *(f"{name}: {UNKNOWN}" for name in unknown)])


def _plot(bounds: Mapping[str, Curve], width: int, height: int, pen: Pen, *, log: bool) -> list[str]:
    rates, momenta = sample(bounds, width * pen.dots[1] * SAMPLES_PER_DOT)
    axis = rate_axis(rates, log=log, most_ticks=max(2, (height + 1) // 2))
    intervals = len(axis.ticks) - 1
    # Rows in a whole multiple of the tick intervals, so that every tick sits on its own row.
    panels = [(rates, axis, (height - 1) // intervals * intervals + 1)]
    if momenta:
        panels.append((momenta, momentum_axis(momenta), max(3, height // 4)))
    gutter = max(len(number(tick)) for _, axis, _ in panels for tick in axis.ticks)
    span = width - gutter - 2
    letters = dict(zip(bounds, LETTERS, strict=False)) if len(bounds) > 1 or pen is ASCII else {}
    lines: list[str] = []
    for traces, axis, rows in panels:
        if traces is not rates:
            lines.append(" " * gutter + "  momentum")
        size = (rows * pen.dots[0], span * pen.dots[1])
        masks = np.stack([_dots(trace, axis, size, horizon(bounds)) for trace in traces])
        grid = _paint(masks, pen, [letters[trace.name] for trace in traces if letters])
        lines += _frame(grid, axis, gutter, pen)
    lines += _foot(horizon(bounds), gutter, span, pen)
    lines += _legend(rates, momenta, letters, axis)
    return [line.rstrip() for line in lines]


def _check(bounds: Mapping[str, Curve], width: int, height: int) -> None:
    if not 24 <= width <= 1000:
        raise ScheduleError("width", "need 24 to 1000 columns", width)
    if not 3 <= height <= 200:
        raise ScheduleError("height", "need 3 to 200 rows", height)
    if len(bounds) > len(LETTERS):
        raise ScheduleError("bounds", f"need at most {len(LETTERS)} schedules on one plot", len(bounds))


def _paint(masks: Masks, pen: Pen, letters: list[str]) -> NDArray[np.str_]:
    """`masks` are dots of shape [curve, row, column]; the result are characters of shape [row, column]."""
    curves, (down, across) = len(masks), pen.dots
    rows, span = masks.shape[1] // down, masks.shape[2] // across
    cells = masks.reshape(curves, rows, down, span, across)
    inked: Masks = np.asarray(cells.any(axis=(2, 4)))
    grid = np.full((rows, span), " ")
    if pen.dots == (1, 1):
        for index in reversed(range(curves)):
            grid[inked[index]] = letters[index]
        return grid
    codes = 0x2800 + np.einsum("rdsc,dc->rs", cells.any(axis=0).astype(np.int64), BRAILLE)
    rows_inked, columns_inked = np.nonzero(inked.any(axis=0))
    grid[rows_inked, columns_inked] = [chr(code) for code in codes[rows_inked, columns_inked]]
    for index, letter in enumerate(letters):
        _label(grid, inked, index, letter)
    return grid


def _dots(trace: Trace, axis: Axis, size: tuple[int, int], longest: int) -> Masks:
    """The curve as dots, row 0 on top: each column's start, the riser from the column before, the column's extremes."""
    tall, wide = size
    level = np.rint((1 - axis.place(trace.values)) * (tall - 1)).astype(np.int64)
    end = -(-trace.total_steps * wide // longest)
    starts = np.arange(end, dtype=np.int64) * longest // wide
    at = np.searchsorted(trace.steps, np.minimum(starts, trace.total_steps - 1), side="right") - 1
    mask = np.zeros((tall, wide), dtype=np.bool_)
    for column, first in enumerate(at):
        own = level[first : max(at[column + 1], first + 1)] if column + 1 < end else level[first:]
        after = level[at[column + 1]] if column + 1 < end else own[-1]
        before = level[at[column - 1]] if column else own[0]
        mask[own[0], column] = True
        riser = range(before + 1, own[0]) if before < own[0] else range(own[0] + 1, before)
        mask[list(riser), column] = True
        # A peak or a trough inside the column is drawn; the run from this column to the next is the next one's riser.
        low, high = min(own[0], after), max(own[0], after)
        if own.min() < low:
            mask[own.min() : low, column] = True
        if own.max() > high:
            mask[high : own.max() + 1, column] = True
    return mask


def _label(grid: NDArray[np.str_], inked: Masks, index: int, letter: str) -> None:
    """Sets `letter` about every eighth of the width, staggered by curve, in cells no other curve runs through."""
    alone = inked[index] & (inked.sum(axis=0) == 1)
    span = grid.shape[1]
    spacing = max(6, span // 8)
    column = 1 + index * spacing // len(inked)
    while column < span:
        rows = np.flatnonzero(alone[:, column])
        if rows.size and inked[index][:, column].sum() <= 2:
            grid[rows[0], column] = letter
            column += spacing
        else:
            column += 1


def _frame(grid: NDArray[np.str_], axis: Axis, gutter: int, pen: Pen) -> list[str]:
    rows = len(grid)
    heights = axis.place(np.array(axis.ticks))
    labels = {round((1 - height) * (rows - 1)): number(tick) for tick, height in zip(axis.ticks, heights, strict=True)}
    return [
        f"{labels.get(row, ''):>{gutter}} {pen.tick if row in labels else pen.side}{''.join(cells)}"
        for row, cells in enumerate(grid)
    ]


def _foot(total_steps: int, gutter: int, span: int, pen: Pen) -> list[str]:
    ticks = step_ticks(total_steps, most=5 if span >= 45 else 3)
    line, steps, percents = [pen.floor] * span, [" "] * span, [" "] * span
    for step, label, percent in ticks:
        column = min(span - 1, step * span // total_steps)
        line[column] = pen.foot
        unit = " steps" if step == total_steps else ""
        for text, row in ((label + unit, steps), (percent, percents)):
            start = min(max(0, column - len(text) // 2), span - len(text))
            row[start : start + len(text)] = text
    pad = " " * gutter
    return [f"{pad} {pen.corner}{''.join(line)}", f"{pad}  {''.join(steps)}", f"{pad}  {''.join(percents)}"]


def _legend(rates: list[Trace], momenta: list[Trace], letters: Mapping[str, str], axis: Axis) -> list[str]:
    driven = {trace.name: trace for trace in momenta}
    room = max(len(trace.name) for trace in rates)
    lines = []
    for trace in rates:
        mark = f"{letters[trace.name]}  " if letters else ""
        text = f"{mark}{trace.name:<{room}}  peak {number(trace.peak)}, last {number(trace.last)}"
        if trace.name in driven:
            values = driven[trace.name].values
            text += f", momentum {number(float(values.min()))} to {number(float(values.max()))}"
        lines.append(text)
    if axis.clipped:
        lines.append(f"rates below {number(axis.low)} are drawn on the axis")
    return lines
