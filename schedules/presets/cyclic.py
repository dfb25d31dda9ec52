"""Presets that go up again: warm restarts and cyclical rates."""

from __future__ import annotations

from schedules.cycles import Cycle, Restarts
from schedules.fractal import Fractal
from schedules.momentum import Against
from schedules.presets.common import END, REGISTRY, WARMUP, end, warm
from schedules.presets.model import Parameter
from schedules.profiles import Cosine, Exponential
from schedules.schedule import Schedule
from schedules.shapes import Once
from schedules.span import Span

STEP_SIZE = Parameter(
    name="step_size",
    default=None,
    kind="span",
    positive=True,
    description="half a cycle; overrides cycles",
    search={"choice": ["2 epochs", "4 epochs", "8 epochs"]},
)
CYCLES = Parameter(
    name="cycles",
    default=4,
    kind="int",
    description="cycles that fill the horizon",
    low=1,
    search={"low": 1, "high": 8},
)
BASE = end(0.25)
CYCLED = (
    Parameter(
        name="low_momentum", default=0.8, kind="float", description="momentum where the rate peaks", low=0, below=1
    ),
    Parameter(
        name="high_momentum", default=0.9, kind="float", description="momentum where the rate is low", low=0, below=1
    ),
)


@REGISTRY.add(
    "sgdr",
    WARMUP,
    END,
    Parameter(
        name="cycles",
        default=3,
        kind="int",
        description="cycles that fill the horizon",
        low=1,
        search={"low": 1, "high": 5},
    ),
    Parameter(
        name="first",
        default=None,
        kind="span",
        positive=True,
        description="length of the first cycle (T_0); overrides cycles",
        search={"low": 0.05, "high": 0.5},
    ),
    Parameter(
        name="t_mult",
        default=2.0,
        kind="float",
        description="how much longer each cycle is than the last",
        low=1,
        search={"choice": [1.0, 2.0]},
    ),
    Parameter(
        name="decay",
        default=1.0,
        kind="float",
        description="factor between the peaks of two cycles",
        above=0,
        high=1,
        search={"low": 0.3, "high": 1.0},
    ),
    summary="Cosine decay with warm restarts.",
    formula="lr (end + (1 - end)(1 + cos(pi T_cur / T_i)) / 2), T_i = T_0 t_mult^i, peak_i = lr decay^i",
    source="Loshchilov & Hutter 1608.03983; torch CosineAnnealingWarmRestarts",
)
def sgdr(
    lr: float, *, warmup: Span, end: float, cycles: int, first: Span | None, t_mult: float, decay: float
) -> Schedule:
    shape = Restarts(
        profile=Cosine(), first=first, cycles=None if first is not None else cycles, factor=t_mult, decay=decay
    )
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup), end=end)


@REGISTRY.add(
    "clr_triangular",
    WARMUP,
    BASE,
    STEP_SIZE,
    CYCLES,
    *CYCLED,
    summary="Straight up and down between a base and the peak, momentum against it.",
    formula="lr (end + (1 - end) tri(t)), tri from 0 to 1 to 0 in each cycle",
    source="Smith 1506.01186; torch CyclicLR",
)
def clr_triangular(
    lr: float,
    *,
    warmup: Span,
    end: float,
    step_size: Span | None,
    cycles: int,
    low_momentum: float,
    high_momentum: float,
) -> Schedule:
    shape = Cycle(up=step_size, cycles=None if step_size is not None else cycles)
    momentum = Against(low=low_momentum, high=high_momentum)
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup), end=end, momentum=momentum)


@REGISTRY.add(
    "clr_triangular2",
    WARMUP,
    BASE,
    STEP_SIZE,
    CYCLES,
    *CYCLED,
    summary="Triangular cycles of half the height each time.",
    formula="lr (end + (1 - end) tri(t) 2^-cycle)",
    source="Smith 1506.01186; torch CyclicLR(mode='triangular2')",
)
def clr_triangular2(
    lr: float,
    *,
    warmup: Span,
    end: float,
    step_size: Span | None,
    cycles: int,
    low_momentum: float,
    high_momentum: float,
) -> Schedule:
    shape = Cycle(up=step_size, cycles=None if step_size is not None else cycles, decay=0.5)
    momentum = Against(low=low_momentum, high=high_momentum)
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup), end=end, momentum=momentum)


@REGISTRY.add(
    "clr_exp_range",
    WARMUP,
    BASE,
    STEP_SIZE,
    CYCLES,
    Parameter(
        name="shrink",
        default=0.1,
        kind="float",
        description="height left at the end of the horizon",
        above=0,
        high=1,
        search={"low": 0.01, "high": 1.0, "log": True},
    ),
    *CYCLED,
    summary="Triangular cycles whose height shrinks at every update.",
    formula="lr (end + (1 - end) tri(t) shrink^(t/T)): torch's gamma^t with gamma = shrink^(1/T)",
    source="Smith 1506.01186; torch CyclicLR(mode='exp_range')",
)
def clr_exp_range(
    lr: float,
    *,
    warmup: Span,
    end: float,
    step_size: Span | None,
    cycles: int,
    shrink: float,
    low_momentum: float,
    high_momentum: float,
) -> Schedule:
    envelope = Once(profile=Exponential(ratio=shrink))
    shape = Cycle(up=step_size, cycles=None if step_size is not None else cycles, envelope=envelope)
    momentum = Against(low=low_momentum, high=high_momentum)
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup), end=end, momentum=momentum)


@REGISTRY.add(
    "cosine_hard_restarts",
    WARMUP,
    CYCLES,
    summary="Cosine decay to zero, several times, all cycles of one length.",
    formula="lr (1 + cos(pi ((cycles z) mod 1))) / 2, 0 from the end on",
    source="Transformers get_cosine_with_hard_restarts_schedule_with_warmup",
)
def cosine_hard_restarts(lr: float, *, warmup: Span, cycles: int) -> Schedule:
    return Schedule(lr=lr, shape=Restarts(cycles=cycles), warmup=warm(warmup))


@REGISTRY.add(
    "cyclic_cosine",
    WARMUP,
    END,
    CYCLES,
    summary="Cosine up and cosine down, several times: cycles without a jump.",
    formula="lr (end + (1 - end)(1 - cos(2 pi cycles z)) / 2)",
    source="Smith 1506.01186 with the cosine profile; SWA's cyclical variant 1803.05407 restarts instead",
)
def cyclic_cosine(lr: float, *, warmup: Span, end: float, cycles: int) -> Schedule:
    return Schedule(lr=lr, shape=Cycle(profile=Cosine(), cycles=cycles), warmup=warm(warmup), end=end)


@REGISTRY.add(
    "fractal_chebyshev",
    Parameter(
        name="period",
        default=16,
        kind="int",
        description="steps in a cycle, a power of two",
        low=1,
        high=2**20,
        search={"choice": [8, 16, 32, 64]},
    ),
    Parameter(
        name="condition",
        default=0.05,
        kind="float",
        description="smallest over largest curvature m / M",
        above=0,
        high=1,
        search={"low": 1e-3, "high": 0.3, "log": True},
    ),
    summary="Chebyshev step sizes in fractal order: a few large steps made safe by the small ones around them.",
    formula="lr g_1 / g_sigma(t), g_i = (1 + k)/2 - (1 - k)/2 cos((i - 1/2) pi / n), k = condition, n = period",
    source="Agarwal, Goel & Zhang 2103.01338",
)
def fractal_chebyshev(lr: float, *, period: int, condition: float) -> Schedule:
    return Schedule(lr=lr, shape=Fractal(period=period, condition=condition))
