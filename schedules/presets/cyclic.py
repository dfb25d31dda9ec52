"""Presets that go up again: warm restarts, cyclical rates, one-cycle."""

from __future__ import annotations

from schedules.cycles import Cycle, Restarts
from schedules.momentum import Against
from schedules.one_cycle import OneCycle
from schedules.presets.common import END, HIGH_MOMENTUM, LOW_MOMENTUM, REGISTRY, WARMUP, end, warm
from schedules.presets.model import Parameter
from schedules.profiles import Cosine, Exponential, Linear
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
    "onecycle",
    Parameter(
        name="pct_start",
        default=0.3,
        kind="float",
        description="fraction of the horizon spent rising",
        low=0,
        high=0.5,
        search={"low": 0.1, "high": 0.5},
    ),
    Parameter(
        name="div_factor",
        default=25.0,
        kind="float",
        description="peak over first rate",
        low=1,
        search={"low": 4.0, "high": 100.0, "log": True},
    ),
    Parameter(
        name="final_div_factor",
        default=1e4,
        kind="float",
        description="first over last rate",
        low=1,
        search={"low": 1e1, "high": 1e6, "log": True},
    ),
    Parameter(
        name="anneal",
        default="cos",
        kind="choice",
        description="cosine or straight phases",
        options=("cos", "linear"),
        search={"choice": ["cos", "linear"]},
    ),
    Parameter(
        name="three_phase",
        default=False,
        kind="bool",
        description="fall as long as the rise, then annihilate",
        search={"choice": [False, True]},
    ),
    LOW_MOMENTUM,
    HIGH_MOMENTUM,
    summary="One cycle up and down, far below the first rate at the end, momentum against it.",
    formula="lr/div -> lr -> lr/(div final_div), at steps 0, pct T - 1, T - 1 (three-phase: lr/div at 2 pct T - 2)",
    source="Smith & Topin 1708.07120, Smith 1803.09820; torch OneCycleLR",
)
def onecycle(
    lr: float,
    *,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
    anneal: str,
    three_phase: bool,
    low_momentum: float,
    high_momentum: float,
) -> Schedule:
    shape = OneCycle(
        rise=pct_start,
        turn=2 * pct_start if three_phase and pct_start else None,
        start=1 / div_factor,
        profile=Cosine() if anneal == "cos" else Linear(),
    )
    return Schedule(
        lr=lr,
        shape=shape,
        end=1 / (div_factor * final_div_factor),
        accounting="closed",
        momentum=Against(low=low_momentum, high=high_momentum),
    )
