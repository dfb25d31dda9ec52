"""Presets that only go down: constant, linear, cosine, polynomial, exponential, REX, steps and their relatives."""

from __future__ import annotations

from schedules.presets.common import END, REGISTRY, SAMPLING, WARMUP, end, warm
from schedules.presets.model import Parameter
from schedules.profiles import Cosine, Exponential, Linear, Polynomial, Profile, Rex, Steps
from schedules.sampling import Every, Sampling
from schedules.schedule import Schedule
from schedules.shapes import Once
from schedules.span import Span

GAMMA = Parameter(
    name="gamma",
    default=0.1,
    kind="float",
    description="factor at each step down",
    above=0,
    high=1,
    search={"choice": [0.1, 0.2, 0.5]},
)


def decay(lr: float, profile: Profile, *, warmup: Span, end: float = 0.0, sampling: Sampling | None = None) -> Schedule:
    """The profile once over the horizon, after a linear warmup."""
    return Schedule(lr=lr, shape=Once(profile=profile), warmup=warm(warmup), end=end, sampling=sampling)


@REGISTRY.add("constant", WARMUP, summary="The same rate throughout.", formula="lr", source="the null hypothesis")
def constant(lr: float, *, warmup: Span) -> Schedule:
    return Schedule(lr=lr, warmup=warm(warmup))


@REGISTRY.add(
    "linear",
    WARMUP,
    END,
    SAMPLING,
    summary="A straight line down; to zero it is the best of the fixed shapes in many budgets.",
    formula="lr (end + (1 - end)(1 - z))",
    source="Li et al. 1905.04753 (budgeted training); Defazio et al. 2310.07831; torch LinearLR",
)
def linear(lr: float, *, warmup: Span, end: float, sampling: Sampling | None) -> Schedule:
    return decay(lr, Linear(), warmup=warmup, end=end, sampling=sampling)


@REGISTRY.add(
    "cosine",
    WARMUP,
    END,
    SAMPLING,
    Parameter(
        name="power",
        default=1.0,
        kind="float",
        description="exponent of the half cosine",
        above=0,
        search={"low": 0.25, "high": 4.0, "log": True},
    ),
    summary="Half a cosine down.",
    formula="lr (end + (1 - end)((1 + cos(pi z)) / 2)^power)",
    source="Loshchilov & Hutter 1608.03983; torch CosineAnnealingLR; power: optax, init2winit",
)
def cosine(lr: float, *, warmup: Span, end: float, sampling: Sampling | None, power: float) -> Schedule:
    return decay(lr, Cosine(power=power), warmup=warmup, end=end, sampling=sampling)


@REGISTRY.add(
    "polynomial",
    WARMUP,
    END,
    SAMPLING,
    Parameter(
        name="power",
        default=1.0,
        kind="float",
        description="exponent",
        above=0,
        search={"low": 0.3, "high": 4.0, "log": True},
    ),
    summary="A power of the remaining time.",
    formula="lr (end + (1 - end)(1 - z)^power)",
    source="torch PolynomialLR, optax; power 0.9: DeepLab 1606.00915, 2: MXNet",
)
def polynomial(lr: float, *, warmup: Span, end: float, sampling: Sampling | None, power: float) -> Schedule:
    return decay(lr, Polynomial(power=power), warmup=warmup, end=end, sampling=sampling)


@REGISTRY.add(
    "exponential",
    WARMUP,
    end(0.01, positive=True),
    SAMPLING,
    summary="The same factor at every update, given by what is left at the end.",
    formula="lr end^z",
    source="torch ExponentialLR (gamma = end^(1/T)), optax exponential_decay",
)
def exponential(lr: float, *, warmup: Span, end: float, sampling: Sampling | None) -> Schedule:
    return decay(lr, Exponential(ratio=end), warmup=warmup, sampling=sampling)


@REGISTRY.add(
    "rex",
    WARMUP,
    END,
    SAMPLING,
    Parameter(
        name="d",
        default=0.5,
        kind="float",
        description="0 linear, 0.5 the paper, 0.9 its companion code",
        low=0,
        below=1,
        search={"low": 0.0, "high": 0.95},
    ),
    summary="Reflected exponential: high for long, then quickly down.",
    formula="lr (end + (1 - end)(1 - z) / ((1 - d) + d (1 - z)))",
    source="Chen, Wolfe & Kyrillidis 2107.04197",
)
def rex(lr: float, *, warmup: Span, end: float, sampling: Sampling | None, d: float) -> Schedule:
    return decay(lr, Rex(d=d), warmup=warmup, end=end, sampling=sampling)


@REGISTRY.add(
    "step",
    WARMUP,
    GAMMA,
    Parameter(
        name="every",
        default="33%",
        kind="span",
        description="time between two drops",
        positive=True,
        search={"low": 0.1, "high": 0.5},
    ),
    summary="A drop by the same factor at regular times.",
    formula="lr gamma^floor(t / every)",
    source="torch StepLR; He et al. 1512.03385",
)
def step(lr: float, *, warmup: Span, gamma: float, every: Span) -> Schedule:
    shape = Once(profile=Exponential(ratio=gamma), over=every, beyond="continue")
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup), sampling=Every(span=every))


@REGISTRY.add(
    "multi_step",
    WARMUP,
    GAMMA,
    Parameter(
        name="milestones",
        default="50%, 75%",
        kind="spans",
        description="when the rate drops",
        search={"choice": ["50%, 75%", "33%, 66%", "25%, 50%, 75%", "30%, 60%, 80%"]},
    ),
    summary="A drop by the same factor at each milestone.",
    formula="lr gamma^(number of milestones <= t)",
    source="torch MultiStepLR; 50-75 and the like: REX paper 2107.04197",
)
def multi_step(lr: float, *, warmup: Span, gamma: float, milestones: tuple[Span, ...]) -> Schedule:
    unit = milestones[0].unit
    # Fractions are of the time after the warmup; steps and epochs are counted from its end.
    over = None if unit == "fraction" else Span(1.0, unit)
    profile = Steps(at=tuple(item.value for item in milestones), gamma=gamma)
    shape = Once(profile=profile, over=over, beyond="hold" if over is None else "continue")
    return Schedule(lr=lr, shape=shape, warmup=warm(warmup))


@REGISTRY.add(
    "step_30_60_90",
    WARMUP,
    GAMMA,
    summary="A drop at 30, 60 and 90 % of the time.",
    formula="lr gamma^(number of 0.3, 0.6, 0.9 <= z)",
    source="ImageNet practice since He et al. 1512.03385",
)
def step_30_60_90(lr: float, *, warmup: Span, gamma: float) -> Schedule:
    return decay(lr, Steps(at=(0.3, 0.6, 0.9), gamma=gamma), warmup=warmup)


@REGISTRY.add(
    "linear_to_zero",
    Parameter(
        name="warmup",
        default="2%",
        kind="span",
        description="length of the linear warmup from 0 in front",
        search={"choice": ["1%", "2%", "5%", "10%"]},
    ),
    summary="A short warmup and a straight line to exactly zero (D2Z).",
    formula="lr (1 - z)",
    source="Bergsma et al. 2502.15938; Defazio et al. 2310.07831",
)
def linear_to_zero(lr: float, *, warmup: Span) -> Schedule:
    return decay(lr, Linear(), warmup=warmup)


@REGISTRY.add(
    "rex_author",
    WARMUP,
    END,
    SAMPLING,
    summary="REX as its authors' companion code has it (d = 0.9), which is not the paper's.",
    formula="lr (end + (1 - end)(1 - z) / (0.1 + 0.9 (1 - z)))",
    source="wolfecameron/LRSchedules; OneTrainer, musubi-tuner",
)
def rex_author(lr: float, *, warmup: Span, end: float, sampling: Sampling | None) -> Schedule:
    return decay(lr, Rex(d=0.9), warmup=warmup, end=end, sampling=sampling)
