"""The native calls of schedules that go down once."""

from __future__ import annotations

from collections.abc import Callable

from schedules.native.model import FLOAT32, REBOUNDS, Calls, Facts, NativeCall, staircase, timm, torch, transformers
from schedules.profiles import Constant, Cosine, Exponential, Linear, OneMinusSqrt, Polynomial, Profile, Steps
from schedules.shapes import Once, StableDecay
from schedules.source import literal
from schedules.span import ZERO


def once(facts: Facts) -> Calls:
    shape = facts.schedule.shape
    if not isinstance(shape, Once) or shape.rising:
        return
    if staircase(facts.schedule):
        yield from _step(facts, shape)
    elif isinstance(shape.profile, Steps):
        yield from _multi_step(facts, shape, shape.profile)
    elif shape.over is None and shape.tail == ZERO and shape.beyond == "hold":
        for profile, write in ONCE.items():
            if isinstance(shape.profile, profile):
                yield from write(facts, shape.profile)


def _constant(facts: Facts, profile: Profile) -> Calls:
    if facts.warm:
        yield transformers(f"get_constant_schedule_with_warmup(optimizer, num_warmup_steps={facts.warm})")
        return
    yield torch("ConstantLR(optimizer, factor=1.0)")
    yield transformers("get_constant_schedule(optimizer)")
    yield NativeCall("optax", f"optax.constant_schedule({facts.lr})", FLOAT32)


def _cosine(facts: Facts, profile: Profile) -> Calls:
    power = profile.power if isinstance(profile, Cosine) else 1.0
    lr, low, total, warm = facts.lr, facts.low, facts.total, facts.warm
    if power == 1.0 and not warm:
        yield torch(f"CosineAnnealingLR(optimizer, T_max={total}, eta_min={low})", f"{REBOUNDS}, with period 2 T_max")
    if power == 1.0:
        steps = f"num_warmup_steps={warm}, num_training_steps={total}"
        if facts.end == 0:
            yield transformers(f"get_cosine_schedule_with_warmup(optimizer, {steps})", REBOUNDS)
        else:
            rate = literal(facts.end)
            yield transformers(
                f"get_cosine_with_min_lr_schedule_with_warmup(optimizer, {steps}, min_lr_rate={rate})",
                f"{REBOUNDS}; cosine_warmup_with_min_lr (the *_lr_rate function) is a different curve, one step ahead",
            )
        prefix = f", warmup_t={warm}, warmup_prefix=True" if warm else ""
        yield timm(
            f"CosineLRScheduler(optimizer, t_initial={total - warm}, lr_min={low}{prefix}, t_in_epochs=False)",
            "without warmup_prefix=True it jumps from the warmup into mid-cosine" if warm else None,
        )
    alpha, exponent = literal(facts.end), literal(power)
    if warm:
        call = f"warmup_cosine_decay_schedule(0.0, {lr}, {warm}, {total}, end_value={low}, exponent={exponent})"
        yield NativeCall("optax", f"optax.{call}", f"decay_steps counts the warmup in; {FLOAT32}")
    else:
        call = f"cosine_decay_schedule({lr}, {total}, alpha={alpha}, exponent={exponent})"
        yield NativeCall("optax", f"optax.{call}", FLOAT32)


def _linear(facts: Facts, profile: Profile) -> Calls:
    if not facts.warm:
        end = literal(facts.end)
        drift = "multiplies step by step: rounding adds up to 3e-14 over 1e5 steps"
        yield torch(f"LinearLR(optimizer, start_factor=1.0, end_factor={end}, total_iters={facts.total})", drift)
        call = f"linear_schedule({facts.lr}, {facts.low}, {facts.total})"
        yield NativeCall("optax", f"optax.{call}", FLOAT32)
    if facts.end == 0:
        steps = f"num_warmup_steps={facts.warm}, num_training_steps={facts.total}"
        yield transformers(f"get_linear_schedule_with_warmup(optimizer, {steps})")


def _polynomial(facts: Facts, profile: Profile) -> Calls:
    power = literal(profile.power if isinstance(profile, Polynomial) else 1.0)
    if not facts.warm and facts.end == 0:
        yield torch(f"PolynomialLR(optimizer, total_iters={facts.total}, power={power})")
    steps = f"num_warmup_steps={facts.warm}, num_training_steps={facts.total}"
    yield transformers(
        f"get_polynomial_decay_schedule_with_warmup(optimizer, {steps}, lr_end={facts.low}, power={power})",
        "lr_end is reached only by groups at the optimizer's default rate",
    )
    if not facts.warm:
        call = f"polynomial_schedule({facts.lr}, {facts.low}, {power}, {facts.total})"
        yield NativeCall("optax", f"optax.{call}", FLOAT32)


def _exponential(facts: Facts, profile: Profile) -> Calls:
    plain = isinstance(profile, Exponential) and profile.limit is None and not profile.anchored
    if not plain or facts.warm or facts.end or not isinstance(profile, Exponential) or not profile.ratio:
        return
    gamma = literal(profile.ratio ** (1 / facts.total))
    yield torch(f"ExponentialLR(optimizer, gamma={gamma})", "goes on falling after the last step")
    call = f"exponential_decay({facts.lr}, transition_steps={facts.total}, decay_rate={literal(profile.ratio)})"
    yield NativeCall("optax", f"optax.{call}", f"goes on falling after the last step; {FLOAT32}")


def _step(facts: Facts, shape: Once) -> Calls:
    period = facts.frame.resolve("over", shape.over) if shape.over is not None else 0.0
    if isinstance(shape.profile, Exponential) and period.is_integer() and not facts.warm and not facts.end:
        gamma = literal(shape.profile.ratio)
        yield torch(f"StepLR(optimizer, step_size={int(period)}, gamma={gamma})")
        yield timm(f"StepLRScheduler(optimizer, decay_t={int(period)}, decay_rate={gamma}, t_in_epochs=False)")


def _multi_step(facts: Facts, shape: Once, profile: Steps) -> Calls:
    length = facts.frame.length if shape.over is None else facts.frame.resolve("over", shape.over)
    # The first whole step at which u reaches the point; exact, because u is the same division.
    steps = [
        next(t for t in range(int(at * length) - 1, int(at * length) + 3) if t / length >= at) for at in profile.at
    ]
    if facts.warm or facts.end or len(set(steps)) < len(steps):
        return
    gamma = literal(profile.gamma)
    yield torch(f"MultiStepLR(optimizer, milestones={steps}, gamma={gamma})")
    early = "decays one step early by design: the milestones here are one later"
    later = [step + 1 for step in steps]
    yield timm(f"MultiStepLRScheduler(optimizer, decay_t={later}, decay_rate={gamma}, t_in_epochs=False)", early)
    scales = ", ".join(f"{step}: {gamma}" for step in steps)
    yield NativeCall("optax", f"optax.piecewise_constant_schedule({facts.lr}, {{{scales}}})", FLOAT32)


def stable_decay(facts: Facts) -> Calls:
    shape = facts.schedule.shape
    if not isinstance(shape, StableDecay) or shape.stable != Constant():
        return
    decay = facts.frame.within("decay", shape.decay)
    kind = {Linear(): "linear", Cosine(): "cosine", OneMinusSqrt(): "1-sqrt"}.get(shape.cooldown)
    if kind is None or not decay.is_integer():
        return
    steps = f"num_warmup_steps={facts.warm}, num_decay_steps={int(decay)}, num_training_steps={facts.total}"
    yield transformers(
        f'get_wsd_schedule(optimizer, {steps}, decay_type="{kind}", min_lr_ratio={literal(facts.end)})',
        "its warmup starts at min_lr_ratio * lr, not at 0" if facts.warm and facts.end else None,
    )
    steps = f"t_initial={facts.total - facts.warm}, decay_t={int(decay)}, warmup_t={facts.warm}"
    yield timm(f'WSDLRScheduler(optimizer, {steps}, lr_min={facts.low}, decay_fn="{kind}", t_in_epochs=False)')


ONCE: dict[type[Profile], Callable[[Facts, Profile], Calls]] = {
    Constant: _constant,
    Cosine: _cosine,
    Linear: _linear,
    Polynomial: _polynomial,
    Exponential: _exponential,
}
