"""The equivalent calls of torch, Transformers, timm and optax, each with what that library does differently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from schedules.codec import AnySchedule
from schedules.cycles import Cycle, Restarts
from schedules.feedback import Feedback
from schedules.native.cycles import cycle, one_cycle, restarts
from schedules.native.decays import once, stable_decay
from schedules.native.feedback import feedback
from schedules.native.model import Calls, Facts, NativeCall, gather
from schedules.one_cycle import OneCycle
from schedules.shapes import Once, Shape, StableDecay

__all__ = ["NativeCall", "native_call"]

WRITERS: dict[type[Shape], Callable[[Facts], Calls]] = {
    Once: once,
    Restarts: restarts,
    Cycle: cycle,
    OneCycle: one_cycle,
    StableDecay: stable_decay,
}


def native_call(
    schedule: AnySchedule, *, total_steps: int, steps_per_epoch: int | None = None
) -> tuple[NativeCall, ...]:
    """The equivalents there are; none for a schedule no library has under one name.

    The optimizer is built with `lr` at the peak, unless the call names the rate itself.
    """
    schedule.bind(total_steps, steps_per_epoch)
    if isinstance(schedule, Feedback):
        return tuple(feedback(schedule))
    facts = gather(schedule, total_steps, steps_per_epoch)
    if facts is None:
        return ()
    calls = [call for shape, write in WRITERS.items() if isinstance(schedule.shape, shape) for call in write(facts)]
    if schedule.momentum is None:
        return tuple(calls)
    return tuple(call if "momentum=" in call.call else _without_momentum(call) for call in calls)


def _without_momentum(call: NativeCall) -> NativeCall:
    warning = "does not drive the momentum"
    return replace(call, warning=f"{call.warning}; {warning}" if call.warning else warning)
