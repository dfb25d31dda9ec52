"""Presets that never reach an end: inverse time, inverse square root, Noam, a factor with a floor."""

from __future__ import annotations

from schedules.errors import ScheduleError
from schedules.presets.common import REGISTRY, WARMUP, warm
from schedules.presets.model import Parameter
from schedules.profiles import Exponential, InverseSqrt, InverseTime
from schedules.sampling import Every
from schedules.schedule import Schedule
from schedules.shapes import Once
from schedules.span import Span
from schedules.warmup import Warmup

LONG_WARMUP = Parameter(
    name="warmup",
    default="10%",
    kind="span",
    description="length of the linear warmup from 0, and the time scale",
    search={"low": 0.01, "high": 0.2},
    positive=True,
)


@REGISTRY.add(
    "inverse_time",
    WARMUP,
    Parameter(
        name="rate",
        default=10.0,
        kind="float",
        description="1 / (1 + rate) is left at the end",
        above=0,
        search={"low": 1e-3, "high": 10.0, "log": True},
    ),
    summary="One over time: the classical rate of stochastic approximation.",
    formula="lr / (1 + rate z)",
    source="Robbins & Monro 1951; Keras InverseTimeDecay",
)
def inverse_time(lr: float, *, warmup: Span, rate: float) -> Schedule:
    shape = Once(profile=InverseTime(rate=rate), beyond="continue")
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup), after="continue")


@REGISTRY.add(
    "inverse_sqrt",
    Parameter(
        name="warmup",
        default="10%",
        kind="span",
        description="length of the linear warmup from 0",
        search={"low": 0.01, "high": 0.2},
    ),
    Parameter(
        name="timescale",
        default=None,
        kind="span",
        positive=True,
        description="time after which the rate has fallen by sqrt(2); the warmup's length unless given",
        search={"choice": ["1%", "5%", "10%"]},
    ),
    summary="One over the square root of time: needs no horizon.",
    formula="lr sqrt(tau / (t - W + tau))",
    source="Vaswani et al. 1706.03762, ViT 2106.04560; Transformers get_inverse_sqrt_schedule",
)
def inverse_sqrt(lr: float, *, warmup: Span, timescale: Span | None) -> Schedule:
    if timescale is None and not warmup.value:
        raise ScheduleError("timescale", "need one where there is no warmup", "none")
    shape = Once(profile=InverseSqrt(), over=timescale or warmup, beyond="continue")
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup), after="continue")


@REGISTRY.add(
    "noam",
    LONG_WARMUP,
    summary="The Transformer's schedule, its peak given directly instead of by the model's width.",
    formula="lr min((t + 1) / W, sqrt(W / (t + 1))): the paper's with lr = (d W)^-1/2",
    source="Vaswani et al. 1706.03762, eq. 3 (steps from 1)",
)
def noam(lr: float, *, warmup: Span) -> Schedule:
    return Schedule(
        lr=lr,
        shape=Once(profile=InverseSqrt(), over=warmup, beyond="continue"),
        warmup=Warmup(span=warmup, counting="next"),
        accounting="shifted",
        after="continue",
    )


@REGISTRY.add(
    "square_root",
    WARMUP,
    summary="One over the square root of the step, from the first step on.",
    formula="lr (t + 1)^-1/2",
    source="Dive into Deep Learning, 12.11",
)
def square_root(lr: float, *, warmup: Span) -> Schedule:
    shape = Once(profile=InverseSqrt(), over=Span(1.0, "steps"), beyond="continue")
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup), after="continue")


@REGISTRY.add(
    "factor",
    WARMUP,
    Parameter(
        name="factor",
        default=0.9,
        kind="float",
        description="factor at each step down",
        above=0,
        below=1,
        search={"low": 0.5, "high": 0.99},
    ),
    Parameter(
        name="every",
        default="2%",
        kind="span",
        description="time between two steps down",
        positive=True,
        search={"low": 0.01, "high": 0.1},
    ),
    Parameter(
        name="stop",
        default=0.01,
        kind="float",
        description="ratio of the peak below which it does not go",
        low=0,
        high=1,
        search={"low": 1e-4, "high": 0.1, "log": True},
    ),
    summary="A factor at regular times, down to a floor.",
    formula="lr max(stop, factor^floor(t / every))",
    source="MXNet FactorScheduler, Dive into Deep Learning 12.11 (its own is stateful and decays before the first use)",
)
def factor(lr: float, *, warmup: Span, factor: float, every: Span, stop: float) -> Schedule:
    shape = Once(profile=Exponential(ratio=factor, limit=stop), over=every, beyond="continue")
    return Schedule(lr=lr, shape=shape, sampling=Every(span=every), warmup=warm(warmup), after="continue")
