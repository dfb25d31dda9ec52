"""Schedules made of schedules: one after another, and one times another."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import numpy as np

from schedules.errors import ScheduleError
from schedules.piece import Curve, Floats, Frame, Function, Piece
from schedules.rules import Length, listed
from schedules.shapes import Shape
from schedules.span import Span
from schedules.tagged import Part, tagged


@tagged("join")
class Join(Shape):
    """parts[i] from step at[i-1] on, each with its own step 0 and its own horizon (torch SequentialLR, optax).

    The parts' rates are ratios of the joined schedule's: with lr = 0.1, a part with lr = 0.5 peaks at 0.05.
    """

    bottoms: ClassVar[bool] = False
    parts: tuple[Piece, ...] = listed(Part(Piece), least=1)
    at: tuple[Span, ...] = listed(Length(positive=True))

    def check(self) -> None:
        if len(self.at) != len(self.parts) - 1:
            raise ScheduleError("at", f"need {len(self.parts) - 1} for {len(self.parts)} parts", f"{len(self.at)}")
        _refuse_metric(self.parts)

    def plan(self, frame: Frame) -> Curve:
        starts = [0.0, *(frame.resolve(f"at[{i}]", item) for i, item in enumerate(self.at))]
        for i, (a, b) in enumerate(pairwise(starts)):
            if not a < b <= frame.steps:
                raise ScheduleError(f"at[{i}]", f"need {a:g} < at[{i}] <= {frame.steps:g} steps", f"{b:g}")
        ends = [*starts[1:], frame.steps]
        curves = [
            _planned(f"parts[{i}]", piece, frame.piece(end - start))
            for i, (piece, start, end) in enumerate(zip(self.parts, starts, ends, strict=True))
        ]
        edges = np.array(starts)
        return Curve(
            _switch([curve.ratio for curve in curves], edges), _switch([curve.swing for curve in curves], edges)
        )


@tagged("product")
class Product(Shape):
    """The product of the factors' rates at the same step (torch ChainedScheduler); all share the piece's horizon."""

    bottoms: ClassVar[bool] = False
    factors: tuple[Piece, ...] = listed(Part(Piece), least=1)

    def check(self) -> None:
        _refuse_metric(self.factors)

    def plan(self, frame: Frame) -> Curve:
        inner = replace(frame, end=0.0, length=frame.steps)
        curves = [_planned(f"factors[{i}]", piece, inner) for i, piece in enumerate(self.factors)]

        def ratio(t: Floats) -> Floats:
            return np.asarray(np.prod([curve.ratio(t) for curve in curves], axis=0), dtype=np.float64)

        def swing(t: Floats) -> Floats:
            return np.asarray(np.prod([curve.swing(t) for curve in curves], axis=0), dtype=np.float64)

        return Curve(ratio, swing)


def _planned(argument: str, piece: Piece, frame: Frame) -> Curve:
    try:
        return piece.plan(frame)
    except ScheduleError as error:
        raise error.at(argument) from None


def _switch(functions: list[Function], starts: Floats) -> Function:
    """The function whose part a step is in, at the part's own step."""

    def switched(t: Floats) -> Floats:
        part = np.searchsorted(starts, t, side="right") - 1
        values = np.empty_like(t)
        for i, function in enumerate(functions):
            mine = part == i
            if mine.any():
                values[mine] = function(t[mine] - starts[i])
        return values

    return switched


def _refuse_metric(parts: tuple[Piece, ...]) -> None:
    for i, piece in enumerate(parts):
        if piece.needs_metric:
            raise ScheduleError(f"parts[{i}]", "need schedules that are functions of the step", piece.kind)
