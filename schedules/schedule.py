"""The schedule: a peak rate times a shape, with warmup, end value, accounting and momentum; and its bound form."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from schedules.errors import ScheduleError
from schedules.momentum import Momentum
from schedules.piece import Curve, Floats, Frame, Function, Piece
from schedules.rules import choice, number
from schedules.sampling import Sampling
from schedules.shapes import Once, Shape
from schedules.tagged import part, tagged
from schedules.warmup import Warmup


@tagged("schedule")
class Schedule(Piece):
    """A point of the grammar. rate(t) = lr * (end + (1 - end) * level), the level from 1 to 0 by shape and sampling.

    `lr` is the peak; `end` is the final rate as a ratio of it. Accounting: under `open` the end value falls on step T,
    the first one not taken (torch, Transformers, timm, optax); under `closed` on T - 1, the last update; `shifted`
    evaluates the shape one step ahead, z = (t + 1) / T (Transformers' *_lr_rate). Past the horizon: `hold` the last
    value, `continue` the shape, or `raise`.

    >>> from schedules.profiles import Cosine
    >>> bound = Schedule(lr=0.1, shape=Once(profile=Cosine())).bind(100)
    >>> bound.lr(0), bound.lr(50), bound.lr(100), bound.lr(101)
    (0.1, 0.05, 0.0, 0.0)
    """

    lr: float = number(above=0)
    shape: Shape = part(Shape, default=Once())
    sampling: Sampling | None = part(Sampling, default=None)
    warmup: Warmup | None = part(Warmup, default=None)
    end: float = number(default=0.0, low=0)
    accounting: str = choice("open", "closed", "shifted", default="open")
    after: str = choice("hold", "continue", "raise", default="hold")
    momentum: Momentum | None = part(Momentum, default=None)

    def check(self) -> None:
        if self.end and not self.shape.bottoms:
            raise ScheduleError("end", f"a {self.shape.kind} has its own lowest rate: need end = 0", self.end)
        inner = [*getattr(self.shape, "parts", ()), *getattr(self.shape, "factors", ())]
        if any(getattr(piece, "momentum", None) is not None for piece in inner):
            raise ScheduleError(
                "momentum", f"belongs to the whole schedule, not to a part of a {self.shape.kind}", "one"
            )

    def bind(self, total_steps: int, steps_per_epoch: int | None = None) -> BoundSchedule:
        """The schedule over a horizon of `total_steps` updates; `ScheduleError` when something does not fit into it."""
        return BoundSchedule(self, total_steps, steps_per_epoch)

    def plan(self, frame: Frame) -> Curve:
        warm = frame.within("warmup", self.warmup.span) if self.warmup is not None else 0.0
        lead = 0.0 if self.warmup is not None and self.warmup.overlay else warm
        steps = frame.steps - lead
        length = max(steps - 1.0, 0.0) if self.accounting == "closed" else steps
        inner = replace(frame, steps=steps, length=length, end=self.end, holds=self.after == "hold")
        curve = self.shape.plan(inner)
        clock = self._clock(lead, frame.steps, inner)
        ramp = self._ramp(warm, curve)
        falling = curve.falling
        return Curve(
            _scaled(self.lr, _front(warm, ramp.ratio, lambda t: curve.ratio(clock(t)))),
            _front(warm, ramp.swing, lambda t: curve.swing(clock(t))),
            None if falling is None else lambda t: falling(clock(t)) & (t >= warm),
        )

    def _clock(self, lead: float, steps: float, inner: Frame) -> Function:
        """From the schedule's step to the shape's: held past the horizon, less the warmup, shifted and sampled."""
        last = lead + inner.length - (1.0 if self.accounting == "shifted" else 0.0)
        shift = (1.0 if self.accounting == "shifted" else 0.0) - lead
        hold = self.sampling.plan(inner) if self.sampling is not None else None

        def clock(t: Floats) -> Floats:
            held = np.minimum(t, max(last, lead)) if inner.holds else t
            local = np.maximum(held + shift, 0.0) if shift else held
            return local if hold is None else hold(local)

        return clock

    def _ramp(self, length: float, curve: Curve) -> Curve:
        """The warmup: up to where the shape begins (to the peak, when the warmup hides that beginning)."""
        if self.warmup is None or length == 0:
            return curve
        risen, start, zero = self.warmup.plan(length), self.warmup.start, np.zeros(1)
        top = 1.0 if self.warmup.overlay else float(curve.ratio(zero)[0])
        swing = 1.0 if self.warmup.overlay else float(curve.swing(zero)[0])
        return Curve(lambda t: start + (top - start) * risen(t), lambda t: swing * risen(t))


BLOCK = 1 << 14
"""Steps evaluated at a time, so that the intermediate arrays stay in the cache."""


@dataclass(frozen=True, slots=True)
class BoundSchedule:
    """A schedule over a horizon: the rate, and the momentum if it drives one, as pure functions of the step.

    `step` is the 0-based index of the update about to be made; resuming at step t is evaluating at step t.
    """

    schedule: Schedule
    total_steps: int
    steps_per_epoch: int | None = None
    _rate: Function = field(init=False, repr=False, compare=False)
    _momentum: Function | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _whole("total_steps", self.total_steps)
        if self.steps_per_epoch is not None:
            _whole("steps_per_epoch", self.steps_per_epoch)
        total = float(self.total_steps)
        frame = Frame(total=total, steps=total, length=total, steps_per_epoch=self.steps_per_epoch)
        curve = self.schedule.plan(frame)
        momentum = self.schedule.momentum
        object.__setattr__(self, "_rate", curve.ratio)
        object.__setattr__(self, "_momentum", momentum.plan(curve) if momentum is not None else None)

    def __reduce__(self) -> tuple[type[BoundSchedule], tuple[Schedule, int, int | None]]:
        # The planned functions are closures; a process on the other side plans them anew.
        return type(self), (self.schedule, self.total_steps, self.steps_per_epoch)

    @overload
    def lr(self, step: float | np.integer | np.floating) -> float: ...
    @overload
    def lr(self, step: ArrayLike) -> Floats: ...
    def lr(self, step: ArrayLike) -> float | Floats:
        """The learning rate of the update at `step`: a float for a scalar, an array of the same shape for an array."""
        return self._evaluate(self._rate, step)

    @overload
    def momentum(self, step: float | np.integer | np.floating) -> float | None: ...
    @overload
    def momentum(self, step: ArrayLike) -> Floats | None: ...
    def momentum(self, step: ArrayLike) -> float | Floats | None:
        """The momentum (beta1 of Adam) of the update at `step`; None when the schedule does not drive it."""
        return None if self._momentum is None else self._evaluate(self._momentum, step)

    def _evaluate(self, function: Function, step: ArrayLike) -> float | Floats:
        steps = self._checked(np.asarray(step, dtype=np.float64))
        # Always evaluated as an array: NumPy's scalar functions may differ from its vectorised ones in the last bit.
        flat, values = steps.ravel(), np.empty(steps.size)
        with np.errstate(over="ignore"):
            for start in range(0, steps.size, BLOCK):
                values[start : start + BLOCK] = function(flat[start : start + BLOCK])
        if not np.isfinite(values).all():
            raise ScheduleError("step", "the rate overflows there", float(steps.max()))
        return float(values[0]) if steps.ndim == 0 else values.reshape(steps.shape)

    def _checked(self, steps: Floats) -> Floats:
        if steps.size and not steps.min() >= 0:
            raise ScheduleError("step", "need step >= 0", float(steps.min()))
        if self.schedule.after == "raise" and steps.size and steps.max() >= self.total_steps:
            raise ScheduleError("step", f"need step < total_steps = {self.total_steps}", float(steps.max()))
        return steps


def _whole(argument: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise ScheduleError(argument, "need a whole number >= 1", repr(value))


def _scaled(factor: float, function: Function) -> Function:
    return function if factor == 1.0 else lambda t: factor * function(t)


def _front(length: float, before: Function, after: Function) -> Function:
    """`before` for the first `length` steps, `after` from there on."""
    if length <= 0:
        return after

    def joined(t: Floats) -> Floats:
        values = after(t)
        early = t < length
        if early.any():
            values = np.array(values)
            values[early] = before(t[early])
        return values

    return joined
