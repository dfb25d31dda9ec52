"""Presets that stay up and cool down at the end, and the ramp of the LR range test."""

from __future__ import annotations

from schedules.errors import ScheduleError
from schedules.presets.common import END, REGISTRY, WARMUP, warm
from schedules.presets.model import Parameter
from schedules.profiles import Cosine, Exponential, Linear, MirrorCosine, OneMinusSqrt, Profile, Square
from schedules.schedule import Schedule
from schedules.shapes import Once, StableDecay
from schedules.span import Span

COOLDOWNS: dict[str, Profile] = {
    "linear": Linear(),
    "cosine": Cosine(),
    "1-sqrt": OneMinusSqrt(),
    "square": Square(),
    "mirror_cosine": MirrorCosine(),
}


@REGISTRY.add(
    "wsd",
    WARMUP,
    END,
    Parameter(
        name="decay",
        default="20%",
        kind="span",
        description="length of the cooldown",
        positive=True,
        search={"low": 0.05, "high": 0.5},
    ),
    Parameter(
        name="cooldown",
        default="1-sqrt",
        kind="choice",
        description="how it cools",
        options=(*COOLDOWNS, "exponential"),
        search={"choice": ["1-sqrt", "linear", "cosine"]},
    ),
    summary="Warmup, stable, decay: flat, then a short cooldown; anytime, because the flat part knows no horizon.",
    formula="lr until T - D, then lr (end + (1 - end) f((t - T + D) / D)); exponential: lr end^u",
    source="MiniCPM 2404.06395; Haegele et al. 2405.18392; Transformers get_wsd_schedule",
)
def wsd(lr: float, *, warmup: Span, end: float, decay: Span, cooldown: str) -> Schedule:
    if cooldown == "exponential":
        if not end:
            raise ScheduleError("end", "an exponential cooldown never reaches zero: need end > 0", end)
        shape = StableDecay(decay=decay, cooldown=Exponential(ratio=end))
        return Schedule(lr=lr, shape=shape, warmup=warm(warmup))
    return Schedule(lr=lr, shape=StableDecay(decay=decay, cooldown=COOLDOWNS[cooldown]), warmup=warm(warmup), end=end)


@REGISTRY.add(
    "lr_range_test",
    Parameter(
        name="low", default=1e-6, kind="float", description="rate of the first update; the last one runs at lr", above=0
    ),
    Parameter(
        name="ramp",
        default="exponential",
        kind="choice",
        description="evenly in log or in rate",
        options=("exponential", "linear"),
        search={"choice": ["exponential", "linear"]},
    ),
    summary="A ramp from low to lr, to see where the loss falls fastest and where it explodes.",
    formula="low (lr / low)^(t / (T - 1)); linear: low + (lr - low) t / (T - 1)",
    source="Smith 1506.01186 (linear); fastai, torch-lr-finder (exponential)",
)
def lr_range_test(lr: float, *, low: float, ramp: str) -> Schedule:
    if low >= lr:
        raise ScheduleError("low", f"need low < lr = {lr:g}", low)
    if ramp == "linear":
        return Schedule(lr=lr, shape=Once(profile=Linear(), rising=True), end=low / lr, accounting="closed")
    profile = Exponential(ratio=low / lr)
    return Schedule(lr=lr, shape=Once(profile=profile, rising=True), accounting="closed")
