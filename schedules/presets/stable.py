"""Presets that stay up and cool down at the end, and the ramp of the LR range test."""

from __future__ import annotations

from schedules.errors import ScheduleError
from schedules.presets.common import END, REGISTRY, WARMUP, end, warm
from schedules.presets.model import Parameter
from schedules.profiles import Cosine, Exponential, InverseSqrt, Linear, MirrorCosine, OneMinusSqrt, Profile, Square
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
    "trapezoid",
    WARMUP,
    END,
    Parameter(
        name="decay",
        default="20%",
        kind="span",
        description="length of the straight fall",
        positive=True,
        search={"low": 0.05, "high": 0.5},
    ),
    summary="Flat, then a straight line down.",
    formula="lr until T - D, then lr (end + (1 - end)(T - t) / D)",
    source="Xing et al. 1802.08770; WSD with a linear cooldown",
)
def trapezoid(lr: float, *, warmup: Span, end: float, decay: Span) -> Schedule:
    return Schedule(lr=lr, shape=StableDecay(decay=decay), warmup=warm(warmup), end=end)


@REGISTRY.add(
    "knee",
    WARMUP,
    Parameter(
        name="explore",
        default=0.5,
        kind="float",
        description="fraction of the horizon at the peak",
        low=0,
        below=1,
        search={"low": 0.2, "high": 0.8},
    ),
    summary="Explore at a high rate for half of the time, then exploit along a line to zero.",
    formula="lr while z < explore, then lr (1 - z) / (1 - explore)",
    source="Iyer et al., JMLR 2023 (wide-minima density, explore-exploit)",
)
def knee(lr: float, *, warmup: Span, explore: float) -> Schedule:
    return Schedule(lr=lr, shape=StableDecay(decay=Span(1.0 - explore)), warmup=warm(warmup))


@REGISTRY.add(
    "flat_cos",
    WARMUP,
    Parameter(
        name="pct_start",
        default=0.75,
        kind="float",
        description="fraction of the horizon at the peak",
        low=0,
        below=1,
        search={"low": 0.3, "high": 0.9},
    ),
    Parameter(
        name="div_final",
        default=1e5,
        kind="float",
        description="peak over last rate",
        low=1,
        search={"low": 1e2, "high": 1e7, "log": True},
    ),
    summary="Flat, then a cosine down.",
    formula="lr while z < pct, then lr (1/div + (1 - 1/div)(1 + cos(pi u)) / 2), u = (z - pct) / (1 - pct)",
    source="fastai fit_flat_cos",
)
def flat_cos(lr: float, *, warmup: Span, pct_start: float, div_final: float) -> Schedule:
    shape = StableDecay(decay=Span(1.0 - pct_start), cooldown=Cosine())
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup), end=1 / div_final)


@REGISTRY.add(
    "inverse_sqrt_cooldown",
    Parameter(
        name="warmup",
        default="10%",
        kind="span",
        description="length of the linear warmup, and the time scale",
        positive=True,
        search={"low": 0.01, "high": 0.2},
    ),
    END,
    Parameter(
        name="decay",
        default="20%",
        kind="span",
        description="length of the cooldown",
        positive=True,
        search={"low": 0.05, "high": 0.5},
    ),
    summary="One over the square root of time, with a straight cooldown: the large vision models' schedule.",
    formula="lr (end + (max(s, end) - end) f), s = (1 + (t - W)/W)^-1/2, f from 1 to 0 over the last D",
    source="Zhai et al. 2106.04560 (big_vision); timm WSDLRScheduler(stable_fn='rsqrt', decay_fn='linear')",
)
def inverse_sqrt_cooldown(lr: float, *, warmup: Span, end: float, decay: Span) -> Schedule:
    shape = StableDecay(decay=decay, stable=InverseSqrt(), scale=warmup)
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup), end=end)


@REGISTRY.add(
    "cosine_then_constant",
    WARMUP,
    end(0.1),
    Parameter(
        name="tail",
        default="20%",
        kind="span",
        description="how long the final rate is held",
        search={"low": 0.05, "high": 0.5},
    ),
    summary="A cosine down to a rate that is then held.",
    formula="lr (end + (1 - end)(1 + cos(pi u)) / 2), u over the horizon less the tail",
    source="Haegele et al. 2405.18392 (cos_inf)",
)
def cosine_then_constant(lr: float, *, warmup: Span, end: float, tail: Span) -> Schedule:
    return Schedule(lr=lr, shape=Once(profile=Cosine(), tail=tail), warmup=warm(warmup), end=end)


@REGISTRY.add(
    "swa",
    WARMUP,
    end(0.5),
    Parameter(
        name="start",
        default=0.75,
        kind="float",
        description="fraction of the horizon after which weights are averaged",
        above=0,
        below=1,
        search={"low": 0.5, "high": 0.9},
    ),
    summary="A cosine down to the rate at which weights are averaged, held there.",
    formula="lr (end + (1 - end)(1 + cos(pi z / start)) / 2) while z < start, then lr end",
    source="Izmailov et al. 1803.05407; torch SWALR",
)
def swa(lr: float, *, warmup: Span, end: float, start: float) -> Schedule:
    return Schedule(lr=lr, shape=Once(profile=Cosine(), tail=Span(1.0 - start)), warmup=warm(warmup), end=end)


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
