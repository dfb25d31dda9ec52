"""The native calls of schedules that go up again."""

from __future__ import annotations

from schedules.cycles import Cycle, Restarts
from schedules.native.model import FLOAT32, Calls, Facts, NativeCall, timm, torch
from schedules.one_cycle import OneCycle
from schedules.profiles import Cosine, Exponential, Linear
from schedules.shapes import Once
from schedules.source import literal


def restarts(facts: Facts) -> Calls:
    shape = facts.schedule.shape
    if not isinstance(shape, Restarts) or shape.profile != Cosine() or facts.warm:
        return
    first = shape.first_length(facts.frame)
    if not first.is_integer() or not float(shape.factor).is_integer():
        return
    length, factor = int(first), int(shape.factor)
    if shape.decay == 1.0:
        yield torch(
            f"CosineAnnealingWarmRestarts(optimizer, T_0={length}, T_mult={factor}, eta_min={facts.low})",
            "step() only: step(epoch) misses the fifth restart for T_mult=3, by rounding a logarithm",
        )
    if shape.decay == 1.0 or not facts.end:
        cycles = f"cycle_mul={factor}, cycle_decay={literal(shape.decay)}, cycle_limit={facts.total}"
        yield timm(
            f"CosineLRScheduler(optimizer, t_initial={length}, lr_min={facts.low}, {cycles}, t_in_epochs=False)",
            "rounds a logarithm: with cycle_mul=3 it misses the fifth restart" if factor > 1 else None,
        )


def cycle(facts: Facts) -> Calls:
    shape = facts.schedule.shape
    if not isinstance(shape, Cycle) or shape.profile != Linear() or facts.warm or shape.decay not in (1.0, 0.5):
        return
    mode = "" if shape.decay == 1.0 else ', mode="triangular2"'
    if shape.envelope is not None:
        outer = shape.envelope.profile
        if shape.decay != 1.0 or shape.envelope != Once(profile=outer) or not isinstance(outer, Exponential):
            return
        mode = f', mode="exp_range", gamma={literal(outer.ratio ** (1 / facts.total))}'
    up, down = shape.legs(facts.frame)
    yield torch(
        f"CyclicLR(optimizer, base_lr={facts.low}, max_lr={facts.lr}, step_size_up={literal(up)}, "
        f"step_size_down={literal(down)}{mode}, {facts.cycled})",
        "sets the groups to base_lr when built: a scheduler built after it starts from there",
    )


def one_cycle(facts: Facts) -> Calls:
    shape = facts.schedule.shape
    if not isinstance(shape, OneCycle) or facts.warm or not shape.start or not facts.end:
        return
    anneal = {Cosine(): "cos", Linear(): "linear"}.get(shape.profile)
    divided = f"div_factor={literal(1 / shape.start)}, final_div_factor={literal(shape.start / facts.end)}"
    if shape.accounting == "torch" and anneal and shape.turn in (None, 2 * shape.rise):
        yield torch(
            f"OneCycleLR(optimizer, max_lr={facts.lr}, total_steps={facts.total}, pct_start={shape.rise!r}, "
            f'anneal_strategy="{anneal}", {divided}, three_phase={shape.turn is not None}, {facts.cycled})',
            "divides by zero where pct_start * total_steps is 1; load_state_dict brings the old total_steps back",
        )
    if shape.accounting == "floor" and anneal == "cos" and shape.turn is None:
        call = f"cosine_onecycle_schedule({facts.total}, {facts.lr}, pct_start={shape.rise!r}, {divided})"
        yield NativeCall("optax", f"optax.{call}", f"final_div_factor is relative to the initial rate; {FLOAT32}")
