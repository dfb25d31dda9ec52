"""Pieces of the grammar written as plain Python: expressions in `u` (profiles), statements in `t` (shapes)."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import singledispatch
from itertools import pairwise

import numpy as np

from schedules import profiles
from schedules.cycles import Cycle, Restarts
from schedules.fractal import Fractal
from schedules.one_cycle import OneCycle
from schedules.piece import Frame
from schedules.points import Points, TwoPoint
from schedules.profiles import Profile
from schedules.sampling import SLACK, At, Every, Sampling
from schedules.shapes import Once, Shape, StableDecay


class NoClosedFormError(Exception):
    """The piece has no short formula; a table says it better."""


@dataclass(frozen=True, slots=True)
class Body:
    """`value` is an expression that holds once `lines` have run; `level` marks one that goes from 1 to 0."""

    value: str
    lines: tuple[str, ...] = ()
    level: bool = True

    def after(self, *lines: str) -> Body:
        return replace(self, lines=(*lines, *self.lines))


def literal(value: float) -> str:
    """The shortest text that reads back to the same number."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def neat(expression: str) -> str:
    """The expression with no parentheses but the needed ones."""
    return ast.unparse(ast.parse(expression, mode="eval"))


def between(low: float, high: float, level: str) -> str:
    """low + (high - low) * level, simplified for the usual bounds."""
    if low == 0:
        return f"({level})" if high == 1 else f"{literal(high)} * ({level})"
    return f"{literal(low)} + {literal(high - low)} * ({level})"


FORMULAS: dict[type[Profile], Callable[..., str]] = {
    profiles.Constant: lambda p: "1.0",
    profiles.Linear: lambda p: "1.0 - u",
    profiles.Cosine: lambda p: _power("0.5 * (1.0 + math.cos(math.pi * u))", p.power),
    profiles.Polynomial: lambda p: _power("max(1.0 - u, 0.0)", p.power),
    profiles.Rex: lambda p: f"(1.0 - u) / ({literal(1.0 - p.d)} + {literal(p.d)} * (1.0 - u))",
    profiles.Steps: lambda p: f"{literal(p.gamma)} ** sum(u >= at for at in {_tuple(p.at)})",
    profiles.OneMinusSqrt: lambda p: "1.0 - math.sqrt(u)",
    profiles.Square: lambda p: "1.0 - u * u",
    profiles.MirrorCosine: lambda p: "2.0 * (1.0 - u) - 0.5 * (1.0 + math.cos(math.pi * u))",
    profiles.OneMinusPower: lambda p: f"1.0 - u ** {literal(p.power)}",
    profiles.InverseSqrt: lambda p: (
        "1.0 / math.sqrt(1.0 + u)" if p.power == 0.5 else f"(1.0 + u) ** -{literal(p.power)}"
    ),
    profiles.InverseTime: lambda p: f"1.0 / (1.0 + {literal(p.rate)} * u)",
    profiles.Tanh: lambda p: (
        f"0.5 * (1.0 - math.tanh({literal(p.lower)} * (1.0 - u) + {literal(p.upper)} * u)) if u < 1.0 else 0.0"
    ),
    profiles.Circle: lambda p: _power("math.sqrt(max(1.0 - u * u, 0.0))", p.power),
    profiles.Saturating: lambda p: f"1.0 - math.exp(-{literal(p.rate)} * (1.0 - u))",
}
"""Each profile's formula, as a function of `u`."""


def profile(piece: Profile) -> Body:
    """The profile's level at `u`."""
    if isinstance(piece, profiles.KDecay):
        return profile(piece.profile).after(f"u = u ** {literal(piece.k)}")
    if isinstance(piece, profiles.Exponential):
        return Body(_exponential(piece))
    if isinstance(piece, TwoPoint):
        x2 = piece.delta_x1 + piece.delta_x2 * (1.0 - piece.delta_x1)
        return _knots((0.0, piece.delta_x1, x2, 1.0), (1.0, piece.y1, piece.delta_y2 * piece.y1, 0.0), piece.curve)
    if isinstance(piece, Points):
        return _knots(piece.x, piece.y, piece.curve)
    if type(piece) not in FORMULAS:
        raise NoClosedFormError(piece.kind)
    return Body(FORMULAS[type(piece)](piece))


def _exponential(piece: profiles.Exponential) -> str:
    power, ratio = f"{literal(piece.ratio)} ** u", literal(piece.ratio)
    if piece.anchored:
        return f"max(({power} - {ratio}) / {literal(1.0 - piece.ratio)}, 0.0)"
    if piece.limit is None:
        return power
    return f"{'min' if piece.ratio > 1 else 'max'}({power}, {literal(piece.limit)})"


def _power(base: str, exponent: float) -> str:
    return base if exponent == 1 else f"({base}) ** {literal(exponent)}"


def _tuple(values: tuple[float, ...]) -> str:
    return f"({', '.join(literal(value) for value in values)}{',' if len(values) == 1 else ''})"


def sampled(sampling: Sampling, frame: Frame) -> str:
    """The statement that moves `t` back to the step whose value is held there."""
    if isinstance(sampling, Every):
        period = frame.resolve("span", sampling.span)
        return f"t = {_floored('t', period)} * {literal(period)}"
    if isinstance(sampling, At):
        points = sorted({0.0, *(float(np.floor(point * frame.steps + 0.5)) for point in sampling.points)})
        return f"t = max(start for start in {_tuple(tuple(points))} if start <= t)"
    raise NoClosedFormError(sampling.kind)


def _floored(time: str, period: float) -> str:
    return f"math.floor({time} / {literal(period)} + {SLACK:g})"


def _part(begin: float, length: float) -> str:
    """How much of `length` has passed since `begin`, at most 1."""
    if length <= 0:
        return "0.0"
    since = f"(t - {literal(begin)})" if begin else "t"
    return f"min({since} / {literal(length)}, 1.0)"


@singledispatch
def shape(piece: Shape, frame: Frame, quantity: str) -> Body:
    """The shape's `quantity` (ratio or swing) at its own step `t`."""
    raise NoClosedFormError(piece.kind)


@shape.register
def _(piece: Once, frame: Frame, quantity: str) -> Body:
    if isinstance(piece.profile, profiles.Constant):
        return Body("1.0")
    if piece.over is None:
        length = frame.length - frame.within("tail", piece.tail)
    else:
        length = frame.resolve("over", piece.over)
    if length <= 0:
        return profile(piece.profile).after(
            f"u = {'0.0 if t > 0 else 1.0' if piece.rising else '1.0 if t > 0 else 0.0'}"
        )
    u = f"t / {literal(length)}"
    lines = {
        "hold": [f"u = min({u}, 1.0)"],
        "continue": [f"u = {u}"],
        "mirror": [f"u = {u} % 2.0", "u = 2.0 - u if u > 1.0 else u"],
        "repeat": [f"u = {u} % 1.0"],
    }[piece.beyond]
    return profile(piece.profile).after(*lines, *(["u = 1.0 - u"] if piece.rising else []))


@shape.register
def _(piece: StableDecay, frame: Frame, quantity: str) -> Body:
    decay = frame.within("decay", piece.decay)
    cooling = profile(piece.cooldown).after(f"u = max({_part(frame.length - decay, decay)}, 0.0)")
    if isinstance(piece.stable, profiles.Constant):
        return cooling
    scale = frame.length if piece.scale is None else frame.resolve("scale", piece.scale)
    stable = profile(piece.stable).after(f"u = t / {literal(scale)}")
    lines = (*stable.lines, f"stable = {neat(stable.value)}", *cooling.lines)
    if quantity == "swing" or not frame.end:
        return Body(f"stable * ({cooling.value})", lines, level=quantity == "ratio")
    low = literal(frame.end)
    return Body(f"{low} + (max(stable, {low}) - {low}) * ({cooling.value})", lines, level=False)


@shape.register
def _(piece: Restarts, frame: Frame, quantity: str) -> Body:
    first = piece.first_length(frame)
    if first <= 0:
        return Body("1.0")
    last = frame.length if frame.holds else float("inf")
    level = profile(piece.profile).after("u = min(max((t - start) / length, 0.0), 1.0)")
    ends = f" and start + length < {literal(last - SLACK)}" if frame.holds else ""
    walk = (
        f"start, length, cycle = 0, {literal(first)}, 0",
        f"while start + length <= t + {SLACK:g}{ends}:",
        f"    start, length, cycle = start + length, length * {literal(piece.factor)}, cycle + 1",
    )
    level = level.after(*walk)
    if piece.decay == 1.0:
        return level
    peak = f"{literal(piece.decay)} ** cycle"
    if quantity == "swing" or not frame.end:
        return replace(level, value=f"{peak} * ({level.value})")
    low = literal(frame.end)
    return Body(f"{low} + (max({peak}, {low}) - {low}) * ({level.value})", level.lines, level=False)


@shape.register
def _(piece: Cycle, frame: Frame, quantity: str) -> Body:
    up, down = piece.legs(frame)
    if up + down <= 0:
        return Body("1.0")
    scale, lines = [], []
    if piece.envelope is not None:
        outer = shape(piece.envelope, replace(frame, end=0.0), "ratio")
        lines = [*outer.lines, f"envelope = {neat(outer.value)}"]
        scale.append("envelope")
    if piece.decay != 1.0:
        scale.append(f"{literal(piece.decay)} ** cycle")
    lines += [
        f"cycle = {_floored('t', up + down)}",
        f"within = max(t - cycle * {literal(up + down)}, 0.0)",
        f"u = 1.0 - within / {literal(up)} if within <= {literal(up)} else (within - {literal(up)}) / {literal(down)}",
        "u = min(max(u, 0.0), 1.0)",
    ]
    level = profile(piece.profile)
    return replace(level, value=" * ".join([f"({level.value})", *scale])).after(*lines)


@shape.register
def _(piece: OneCycle, frame: Frame, quantity: str) -> Body:
    times = [0.0, *piece.points(frame)]
    values = [piece.start, 1.0, *([frame.end] if piece.turn is None else [piece.start, frame.end])]
    if quantity == "swing":
        values = [0.0, 1.0, *[0.0] * (len(values) - 2)]
    lines = []
    for index, (begin, end) in enumerate(pairwise(times)):
        last = index == len(times) - 2
        head = "else:" if last else f"{'el' if index else ''}if t <= {literal(end)}:"
        before, after = literal(values[index]), literal(values[index + 1])
        lines += [head, f"    u, before, after = {neat(_part(begin, end - begin))}, {before}, {after}"]
    level = profile(piece.profile)
    return Body(f"after + (before - after) * ({level.value})", (*lines, *level.lines), level=False)


@shape.register
def _(piece: Fractal, frame: Frame, quantity: str) -> Body:
    curve = piece.plan(frame)
    values = (curve.swing if quantity == "swing" else curve.ratio)(np.arange(piece.period, dtype=np.float64))
    return Body(f"{_tuple(tuple(values.tolist()))}[int(t) % {piece.period}]", level=False)


def _knots(x: tuple[float, ...], y: tuple[float, ...], curve: str) -> Body:
    if curve != "linear":
        raise NoClosedFormError(curve)
    # Where points coincide the first one counts.
    kept = np.unique(x, return_index=True)[1]
    points = ", ".join(f"({literal(x[i])}, {literal(y[i])})" for i in kept)
    lines = (
        f"points = [{points}]",
        "(x0, y0), (x1, y1) = next(pair for pair in zip(points, points[1:]) if u <= pair[1][0])",
    )
    return Body("y0 + (y1 - y0) * (u - x0) / (x1 - x0)", lines)
