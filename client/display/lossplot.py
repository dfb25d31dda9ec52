"""The loss against the learning rate on a logarithmic axis, drawn in text: what a range test is read from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

BRAILLE = 0x2800
# Bit of the dot at (row, column) of a cell of 4 x 2 dots.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
HEADROOM = 0.15
"""Share of the fall of the loss that is drawn above where it fell from; the explosion beyond is cut."""


def loss_plot(
    lr: Sequence[float], loss: Sequence[float], *, mark: float | None = None, width: int = 64, height: int = 10
) -> str:
    """`height` rows of the curve, an axis of decades below; `mark` is pointed at from below the axis."""
    points = [(math.log10(x), y) for x, y in zip(lr, loss, strict=True) if x > 0 and math.isfinite(y)]
    if len(points) < 2 or points[0][0] >= points[-1][0]:
        return "(not enough points to draw)"
    left, right = points[0][0], points[-1][0]
    low, high = _window([y for _, y in points])
    cells = [[0] * width for _ in range(height)]
    for x, y in _dense(points, width * 2):
        column = min(width * 2 - 1, int((x - left) / (right - left) * (width * 2 - 1) + 0.5))
        share = min(1.0, max(0.0, (y - low) / (high - low)))
        row = int((1 - share) * (height * 4 - 1) + 0.5)
        cells[row // 4][column // 2] |= DOTS[row % 4][column % 2]
    labels = {0: f"{high:.3g}", height - 1: f"{low:.3g}"}
    gutter = max(map(len, labels.values()))
    lines = [
        f"{labels.get(index, ''):>{gutter}} │" + "".join(chr(BRAILLE + dots) if dots else " " for dots in row)
        for index, row in enumerate(cells)
    ]
    return "\n".join(line.rstrip() for line in [*lines, *_foot(left, right, mark, gutter, width)])


def _window(losses: Sequence[float]) -> tuple[float, float]:
    """From the lowest loss to a little above the highest before it."""
    lowest = min(range(len(losses)), key=losses.__getitem__)
    before = max(losses[: lowest + 1])
    low = losses[lowest]
    if before <= low:
        before = max(losses)
    room = (before - low) * HEADROOM or abs(low) * 0.1 or 1.0
    return low, before + room


def _dense(points: Sequence[tuple[float, float]], columns: int) -> Iterator[tuple[float, float]]:
    """The polyline through `points`, close enough that no dot of it is missing."""
    span = points[-1][0] - points[0][0]
    yield points[0]
    for (x0, y0), (x1, y1) in pairwise(points):
        parts = max(1, math.ceil(abs(x1 - x0) / span * columns * 4))
        for part in range(1, parts + 1):
            share = part / parts
            yield x0 + (x1 - x0) * share, y0 + (y1 - y0) * share


def _foot(left: float, right: float, mark: float | None, gutter: int, width: int) -> list[str]:
    """The axis with a tick at each decade, the decades' names, and the marked rate."""

    def place(x: float) -> int:
        return min(width - 1, max(0, int((x - left) / (right - left) * (width - 1) + 0.5)))

    axis, names = ["─"] * width, [" "] * (width + 2)
    for decade in range(math.ceil(left - 1e-9), math.floor(right + 1e-9) + 1):
        column, name = place(decade), f"1e{decade}"
        axis[column] = "┬"
        begin = max(0, column - len(name) // 2)
        if all(cell == " " for cell in names[max(0, begin - 1) : begin + len(name) + 1]):
            names[begin : begin + len(name)] = name
    lines = [" " * gutter + " └" + "".join(axis), " " * gutter + "  " + "".join(names) + " lr"]
    if mark is not None and left <= math.log10(mark) <= right:
        lines.append(" " * (gutter + 2 + place(math.log10(mark))) + f"▲ {mark:.3g}")
    return lines
