"""Schedules for use without Switchback: plain PyTorch source and CSV; `native_call` names other libraries' own."""

from __future__ import annotations

import ast
import csv
import io
import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from schedules.codec import AnySchedule, to_dict
from schedules.combine import Join, Product
from schedules.feedback import Feedback
from schedules.feedback_source import written
from schedules.momentum import Against, Fixed, Momentum
from schedules.native import NativeCall, native_call
from schedules.one_cycle import OneCycle
from schedules.piece import Floats, Frame, Piece
from schedules.profiles import Linear
from schedules.schedule import BoundSchedule, Schedule
from schedules.source import Body, NoClosedFormError, between, literal, neat, profile, sampled, shape
from schedules.warmup import Warmup

__all__ = ["NativeCall", "native_call", "to_csv", "to_torch_source"]

CHECKED_STEPS = 2000
TOLERANCE = 1e-11
"""Relative to the peak: what sums in another order may differ by."""

USE = '''"""Learning-rate schedule over {total_steps} updates. Needs PyTorch only.

    for step in range(TOTAL_STEPS):
        set_schedule(optimizer, step)
        ...
        optimizer.step()

or, with an optimizer built with lr=1.0 and `scheduler.step()` after every update:

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_at)
"""'''

SET_RATE = '''def set_schedule(optimizer, step):
    """Call before update `step`, counted from 0; a group's `lr_scale` multiplies its rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr_at(step) * group.get("lr_scale", 1.0)'''

SET_MOMENTUM = """        if "betas" in group:
            group["betas"] = (momentum_at(step), *group["betas"][1:])
        else:
            group["momentum"] = momentum_at(step)"""


def to_torch_source(schedule: AnySchedule, *, total_steps: int, steps_per_epoch: int | None = None) -> str:
    """A Python module with `lr_at(step)`, `momentum_at(step)` where driven, and `set_schedule(optimizer, step)`.

    Closed forms where the pieces have short ones, and exact tables otherwise. What is written was run and compared with
    the schedule before it is returned. For a schedule that answers to a metric, a module with `make_scheduler` and
    `observe`: see `schedules.feedback_source`.
    """
    if isinstance(schedule, Feedback):
        return _answering(schedule, total_steps, steps_per_epoch)
    bound = schedule.bind(total_steps, steps_per_epoch)
    # A table ends with the value held past the horizon, where there is one.
    steps = np.arange(total_steps + (schedule.after != "raise"))
    rate = _function(bound, "lr_at", bound.lr(steps), lambda frame: _rate(schedule, frame))
    functions, setter = [rate], SET_RATE
    momentum, momenta = schedule.momentum, bound.momentum(steps)
    if momentum is not None and momenta is not None:
        functions.append(_function(bound, "momentum_at", momenta, lambda frame: _momentum(schedule, momentum, frame)))
        setter = f"{SET_RATE}\n{SET_MOMENTUM}"
    imports = [f"import {module}" for module in ("bisect", "math") if any(f"{module}." in text for text in functions)]
    head = [
        USE.format(total_steps=total_steps),
        f"# {json.dumps(to_dict(schedule))}",
        *(["\n".join(imports)] if imports else []),
        f"TOTAL_STEPS = {total_steps}",
    ]
    return "\n\n".join(head) + "\n\n\n" + "\n\n\n".join([*functions, setter]) + "\n"


def _answering(schedule: Feedback, total_steps: int, steps_per_epoch: int | None) -> str:
    """The rate rises as that of a constant schedule with the same warmup."""
    warmup_steps = schedule.bind(total_steps, steps_per_epoch).warmup_steps
    rising = Schedule(lr=schedule.lr, warmup=schedule.warmup)
    bound = rising.bind(total_steps, steps_per_epoch)
    values = bound.lr(np.arange(total_steps + 1))
    return written(
        schedule,
        warmup_steps=warmup_steps,
        ramp=_function(bound, "lr_at", values, lambda frame: _rate(rising, frame)),
    )


def to_csv(bound: BoundSchedule) -> str:
    """A row per update: step, lr, and momentum where the schedule drives it; numbers read back exactly."""
    steps = np.arange(bound.total_steps)
    momentum = bound.momentum(steps)
    columns = [steps.tolist(), bound.lr(steps).tolist(), *([] if momentum is None else [momentum.tolist()])]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "lr", "momentum"][: len(columns)])
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()


def _function(bound: BoundSchedule, name: str, values: Floats, write: Callable[[Frame], list[str]]) -> str:
    """`name` as source: the closed form if there is one and it agrees with `values`, a table otherwise."""
    total = float(bound.total_steps)
    frame = Frame(total=total, steps=total, length=total, steps_per_epoch=bound.steps_per_epoch)
    try:
        text = "\n\n\n".join(write(frame))
    except NoClosedFormError:
        return _table(name, values)
    steps = np.unique(np.linspace(0, bound.total_steps - 1, CHECKED_STEPS).astype(np.int64))
    written = _run(text, name, steps.tolist())
    agrees = np.allclose(written, values[steps], rtol=TOLERANCE, atol=TOLERANCE * values.max())
    return text if agrees else _table(name, values)


def _run(text: str, name: str, steps: list[int]) -> list[float]:
    namespace: dict[str, Callable[[int], float]] = {}
    exec(f"import bisect, math\n{text}", namespace)  # noqa: S102 - our own text, made of a validated schedule's numbers
    return [float(namespace[name](step)) for step in steps]


def _table(name: str, values: Floats) -> str:
    """Exact values: by the steps they change at, where they are held, else one for each step."""
    changes = np.flatnonzero(np.append(True, np.diff(values) != 0.0))
    constant = name.upper().removesuffix("_AT")
    if 2 * len(changes) > len(values):
        rates = _wrapped(f"{constant}_VALUES", [literal(value) for value in values])
        return f"{rates}\n\n\ndef {name}(step):\n    return {constant}_VALUES[min(int(step), {len(values) - 1})]"
    rates = _wrapped(f"{constant}_VALUES", [literal(value) for value in values[changes]])
    starts = _wrapped(f"{constant}_STEPS", [str(start) for start in changes])
    lookup = f"{constant}_VALUES[bisect.bisect_right({constant}_STEPS, step) - 1]"
    return f"{starts}\n{rates}\n\n\ndef {name}(step):\n    return {lookup}"


def _wrapped(name: str, items: Sequence[str]) -> str:
    return "\n".join(
        [f"{name} = [", textwrap.fill(", ".join(items), 100, initial_indent="    ", subsequent_indent="    "), "]"]
    )


def _rate(schedule: Schedule, frame: Frame) -> list[str]:
    functions = Functions()
    functions.add("lr_at", schedule, frame, "ratio", docstring="The learning rate of update `step`, counted from 0.")
    return functions.written


def _momentum(schedule: Schedule, momentum: Momentum, frame: Frame) -> list[str]:
    if isinstance(momentum, Fixed):
        return [f"def momentum_at(step):\n    return {literal(momentum.value)}"]
    if not isinstance(momentum, Against):
        raise NoClosedFormError(momentum.kind)
    functions = Functions()
    functions.add("swing_at", schedule, frame, "swing", docstring="1 where the rate peaks, 0 where it is lowest.")
    lines = ['"""The momentum (beta1 of Adam) of update `step`."""']
    high, low = literal(momentum.high), literal(momentum.low)
    if momentum.final is not None:
        placed = Placed.of(schedule, frame)
        if (
            not isinstance(schedule.shape, OneCycle)
            or schedule.sampling is not None
            or schedule.accounting == "shifted"
        ):
            raise NoClosedFormError("final")
        peak = max(placed.lead + schedule.shape.points(placed.inner)[0], placed.warm)
        lines.append(f"high = {literal(momentum.final)} if step >= {literal(peak)} else {high}")
        high = "high"
    lines.append(f"return {high} - ({high} - {low}) * swing_at(step)")
    return [*functions.written, "\n".join(["def momentum_at(step):", *(f"    {line}" for line in lines)])]


def _reads(name: str, lines: list[str]) -> bool:
    tree = ast.parse("\n".join(["def f():", *(f"    {line}" for line in lines)]))
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))


@dataclass(frozen=True, slots=True)
class Placed:
    """A schedule in its frame: `warm` updates of warmup, the shape's step 0 at `lead`, the shape's own frame."""

    warm: float
    lead: float
    inner: Frame

    @classmethod
    def of(cls, schedule: Schedule, frame: Frame) -> Placed:
        warm = 0.0 if schedule.warmup is None else frame.within("warmup", schedule.warmup.span)
        lead = 0.0 if schedule.warmup is None or schedule.warmup.overlay else warm
        steps = frame.steps - lead
        length = max(steps - 1.0, 0.0) if schedule.accounting == "closed" else steps
        holds = schedule.after == "hold"
        return cls(warm, lead, replace(frame, steps=steps, length=length, end=schedule.end, holds=holds))

    def clock(self, schedule: Schedule) -> list[str]:
        """The statements that turn `step` into the shape's own `t`."""
        ahead = 1.0 if schedule.accounting == "shifted" else 0.0
        last = max(self.lead + self.inner.length - ahead, self.lead)
        held = f"min(step, {literal(last)})" if self.inner.holds else "step"
        shift = ahead - self.lead
        moved = f" {'+' if shift > 0 else '-'} {literal(abs(shift))}" if shift else ""
        lines = [f"t = {held}{moved}"]
        return lines if schedule.sampling is None else [*lines, sampled(schedule.sampling, self.inner)]

    def rise(self, schedule: Schedule, warmup: Warmup, quantity: str, scale: float) -> list[str]:
        """The statements that return the value during warmup."""
        curve = schedule.shape.plan(self.inner)
        zero = np.zeros(1)
        begin = 1.0 if warmup.overlay else float((curve.ratio if quantity == "ratio" else curve.swing)(zero)[0])
        low = scale * warmup.start if quantity == "ratio" else 0.0
        passed = {
            "elapsed": f"step / {literal(self.warm)}",
            "next": f"min((step + 1) / {literal(self.warm)}, 1.0)",
            "inside": f"(step + 1) / {literal(self.warm + 1)}",
        }[warmup.counting]
        if isinstance(warmup.ramp, Linear):
            return [f"return {neat(between(low, scale * begin, passed))}"]
        ramp = profile(warmup.ramp).after(f"u = 1.0 - {passed}")
        return [*ramp.lines, f"return {neat(between(low, scale * begin, ramp.value))}"]


@dataclass(slots=True)
class Functions:
    """Collects the functions of a program, the inner ones first."""

    written: list[str] = field(default_factory=list)

    def add(self, name: str, piece: Piece, frame: Frame, quantity: str, docstring: str | None = None) -> None:
        """Writes `name(step)`: the piece's rate (`ratio`), or where it stands between lowest and peak (`swing`)."""
        if not isinstance(piece, Schedule):
            raise NoClosedFormError(piece.kind)
        placed = Placed.of(piece, frame)
        body = self._body(name, piece, placed.inner, quantity)
        lines = [f'"""{docstring}"""'] if docstring else []
        scale = piece.lr if quantity == "ratio" else 1.0
        if placed.warm > 0 and piece.warmup is not None:
            lines.append(f"if step < {literal(placed.warm)}:")
            lines += [f"    {line}" for line in placed.rise(piece, piece.warmup, quantity, scale)]
        end = placed.inner.end if body.level and quantity == "ratio" else 0.0
        rest = [*body.lines, f"return {neat(between(scale * end, scale, body.value))}"]
        if _reads("t", rest):
            lines += placed.clock(piece)
        self.written.append("\n".join([f"def {name}(step):", *(f"    {line}" for line in [*lines, *rest])]))

    def _body(self, name: str, schedule: Schedule, frame: Frame, quantity: str) -> Body:
        if isinstance(schedule.shape, Join):
            return self._joined(name, schedule.shape, frame, quantity)
        if isinstance(schedule.shape, Product):
            for i, factor in enumerate(schedule.shape.factors):
                self.add(f"{name}_part_{i}", factor, replace(frame, end=0.0, length=frame.steps), quantity)
            parts = [f"{name}_part_{i}(t)" for i in range(len(schedule.shape.factors))]
            return Body(" * ".join(parts), level=False)
        return shape(schedule.shape, frame, quantity)

    def _joined(self, name: str, join: Join, frame: Frame, quantity: str) -> Body:
        starts = [0.0, *(frame.resolve("at", item) for item in join.at)]
        calls = []
        for i, (part, start, end) in enumerate(zip(join.parts, starts, [*starts[1:], frame.steps], strict=True)):
            self.add(f"{name}_part_{i}", part, frame.piece(end - start), quantity)
            calls.append(f"{name}_part_{i}(t - {literal(start)})" if start else f"{name}_part_{i}(t)")
        value = calls[-1]
        for call, end in zip(reversed(calls[:-1]), reversed(starts[1:]), strict=True):
            value = f"{call} if t < {literal(end)} else {value}"
        return Body(value, level=False)
