"""What a native call is, and the facts that all of them are written from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from schedules.momentum import Against
from schedules.one_cycle import OneCycle
from schedules.piece import Frame
from schedules.profiles import Exponential, Linear
from schedules.sampling import Every
from schedules.schedule import Schedule
from schedules.shapes import Once
from schedules.source import literal

FLOAT32 = "computes in float32: neighbouring rates blur, steps past 1.6e7 are not told apart"
REBOUNDS = "rises again after the last step instead of holding"
STEPPED = "call step_update(t) before update t"


@dataclass(frozen=True, slots=True)
class NativeCall:
    """`call` builds the same schedule with `library`; `warning` says where that library is known to differ."""

    library: str
    call: str
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the calls are made of: rates as text, lengths as whole steps; `warm` is a linear warmup from 0."""

    schedule: Schedule
    total: int
    warm: int
    frame: Frame

    @property
    def lr(self) -> str:
        return literal(self.schedule.lr)

    @property
    def low(self) -> str:
        return literal(self.schedule.lr * self.schedule.end)

    @property
    def end(self) -> float:
        return self.schedule.end

    @property
    def cycled(self) -> str:
        """The arguments by which torch's cyclic schedulers drive the momentum, or leave it."""
        momentum = self.schedule.momentum
        if isinstance(momentum, Against) and momentum.final is None:
            return f"base_momentum={momentum.low!r}, max_momentum={momentum.high!r}"
        return "cycle_momentum=False"


Calls: TypeAlias = Iterator[NativeCall]


def gather(schedule: Schedule, total_steps: int, steps_per_epoch: int | None) -> Facts | None:
    total = float(total_steps)
    frame = Frame(total=total, steps=total, length=total, steps_per_epoch=steps_per_epoch)
    warmup, warm = schedule.warmup, 0.0
    if warmup is not None:
        warm = frame.within("warmup", warmup.span)
        plain = warmup.ramp == Linear() and warmup.counting == "elapsed" and not warmup.overlay and warmup.start == 0
        if warm and not (plain and warm.is_integer()):
            return None
    closed = schedule.accounting == "closed" and isinstance(schedule.shape, OneCycle)
    if schedule.after == "continue" or not (closed or schedule.accounting == "open"):
        return None
    if schedule.sampling is not None and not staircase(schedule):
        return None
    steps = total - warm
    inner = replace(frame, steps=steps, length=steps, end=schedule.end)
    return Facts(schedule, total_steps, int(warm), inner)


def staircase(schedule: Schedule) -> bool:
    """Whether this is an exponential looked at once per factor: StepLR."""
    shape, sampling = schedule.shape, schedule.sampling
    return (
        isinstance(shape, Once)
        and isinstance(sampling, Every)
        and isinstance(shape.profile, Exponential)
        and shape.over == sampling.span
        and shape.beyond == "continue"
    )


def torch(call: str, warning: str | None = None) -> NativeCall:
    return NativeCall("torch", f"torch.optim.lr_scheduler.{call}", warning)


def transformers(call: str, warning: str | None = None) -> NativeCall:
    return NativeCall("transformers", f"transformers.{call}", warning)


def timm(call: str, warning: str | None = None) -> NativeCall:
    return NativeCall("timm", f"timm.scheduler.{call}", f"{warning}; {STEPPED}" if warning else STEPPED)
