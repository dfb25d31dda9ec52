"""The one-cycle presets, in the accountings of their libraries."""

from __future__ import annotations

from schedules.errors import ScheduleError
from schedules.momentum import Against
from schedules.one_cycle import OneCycle
from schedules.presets.common import HIGH_MOMENTUM, LOW_MOMENTUM, REGISTRY
from schedules.presets.model import Parameter
from schedules.profiles import Cosine, Linear
from schedules.schedule import Schedule


def rise(default: float, *, most: float = 1.0, above: float | None = None) -> Parameter:
    """The parameter `pct_start`."""
    return Parameter(
        name="pct_start",
        default=default,
        kind="float",
        description="fraction of the horizon spent rising",
        low=None if above is not None else 0,
        above=above,
        high=most,
        search={"low": 0.1, "high": 0.5},
    )


def division(name: str, default: float, description: str, *, low: float, high: float) -> Parameter:
    """A ratio between two rates, at least 1."""
    return Parameter(
        name=name,
        default=default,
        kind="float",
        description=description,
        low=1,
        search={"low": low, "high": high, "log": True},
    )


DIV = division("div_factor", 25.0, "peak over first rate", low=4.0, high=100.0)


@REGISTRY.add(
    "onecycle",
    rise(0.3),
    DIV,
    division("final_div_factor", 1e4, "first over last rate", low=1e1, high=1e6),
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
    if three_phase and not 0 < pct_start <= 0.5:
        raise ScheduleError(
            "pct_start", "need 0 < pct_start <= 0.5 with three_phase, or nothing annihilates", pct_start
        )
    shape = OneCycle(
        rise=pct_start,
        turn=2 * pct_start if three_phase else None,
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


@REGISTRY.add(
    "onecycle_fastai",
    rise(0.25),
    DIV,
    division("div_final", 1e5, "peak over last rate", low=1e2, high=1e7),
    LOW_MOMENTUM,
    HIGH_MOMENTUM,
    summary="fastai's one-cycle: half-open time, so the peak is on step pct T and the last rate is never used.",
    formula="lr/div -> lr -> lr/div_final along cosines, at z = 0, pct, 1; momentum against it",
    source="fastai fit_one_cycle (Learner.fit_one_cycle, combined_cos)",
)
def onecycle_fastai(
    lr: float, *, pct_start: float, div_factor: float, div_final: float, low_momentum: float, high_momentum: float
) -> Schedule:
    shape = OneCycle(rise=pct_start, start=1 / div_factor, accounting="fraction")
    return Schedule(lr=lr, shape=shape, end=1 / div_final, momentum=Against(low=low_momentum, high=high_momentum))


@REGISTRY.add(
    "onecycle_optax",
    rise(0.3),
    DIV,
    division("final_div_factor", 1e4, "first over last rate", low=1e1, high=1e6),
    summary="optax's one-cycle: whole-numbered peak, last rate at T, no momentum.",
    formula="lr/div -> lr -> lr/(div final_div) along cosines, at steps 0, floor(pct T), T",
    source="optax cosine_onecycle_schedule",
)
def onecycle_optax(lr: float, *, pct_start: float, div_factor: float, final_div_factor: float) -> Schedule:
    shape = OneCycle(rise=pct_start, start=1 / div_factor, accounting="floor")
    return Schedule(lr=lr, shape=shape, end=1 / (div_factor * final_div_factor))


@REGISTRY.add(
    "onecycle_paper",
    Parameter(
        name="cycle",
        default=0.9,
        kind="float",
        description="fraction of the horizon up and down; the rest anneals",
        above=0,
        high=1,
        search={"low": 0.7, "high": 0.95},
    ),
    division("div_factor", 10.0, "peak over first rate", low=3.0, high=30.0),
    division("final_div_factor", 100.0, "first over last rate", low=1e1, high=1e3),
    LOW_MOMENTUM,
    HIGH_MOMENTUM,
    summary="The paper's one-cycle: straight up, straight down, then far below the first rate.",
    formula="lr/div -> lr -> lr/div -> lr/(div final_div) along lines, at z = 0, cycle/2, cycle, 1",
    source="Smith & Topin 1708.07120, Smith 1803.09820",
)
def onecycle_paper(
    lr: float, *, cycle: float, div_factor: float, final_div_factor: float, low_momentum: float, high_momentum: float
) -> Schedule:
    shape = OneCycle(rise=cycle / 2, turn=cycle, start=1 / div_factor, profile=Linear(), accounting="fraction")
    end = 1 / (div_factor * final_div_factor)
    return Schedule(lr=lr, shape=shape, end=end, momentum=Against(low=low_momentum, high=high_momentum))


@REGISTRY.add(
    "slanted_triangular",
    rise(0.1, most=0.5, above=0),
    division("ratio", 32.0, "peak over first and last rate", low=8.0, high=128.0),
    summary="A short straight rise and a long straight fall, for fine-tuning.",
    formula="lr (1 + p (ratio - 1)) / ratio, p = t/c up, 1 - (t - c)/(c (1/pct - 1)) down, c = floor(pct T)",
    source="ULMFiT, Howard & Ruder 1801.06146 (cut_frac 0.1, ratio 32)",
)
def slanted_triangular(lr: float, *, pct_start: float, ratio: float) -> Schedule:
    shape = OneCycle(rise=pct_start, start=1 / ratio, profile=Linear(), accounting="ulmfit")
    return Schedule(lr=lr, shape=shape, end=1 / ratio)
