"""Presets of the less usual profiles: k-decay, tanh, square-root circle, two points, 1-sqrt and square."""

from __future__ import annotations

from schedules.points import TwoPoint
from schedules.presets.common import END, REGISTRY, SAMPLING, WARMUP, warm
from schedules.presets.model import Parameter
from schedules.profiles import Circle, Cosine, KDecay, OneMinusSqrt, Polynomial, Profile, Square, Tanh
from schedules.sampling import Sampling
from schedules.schedule import Schedule
from schedules.shapes import Once
from schedules.span import Span

K = Parameter(
    name="k",
    default=1.5,
    kind="float",
    description="exponent of time; above 1 the rate stays high for longer",
    above=0,
    search={"low": 0.5, "high": 4.0, "log": True},
)


def unit(name: str, default: float, description: str) -> Parameter:
    """A number in [0, 1], searched uniformly."""
    return Parameter(
        name=name,
        default=default,
        kind="float",
        description=description,
        low=0,
        high=1,
        search={"low": 0.0, "high": 1.0},
    )


POINTS = (
    unit("y1", 0.6, "level at the first point"),
    unit("delta_x1", 0.5, "when the first point is, as a fraction of the time"),
    unit("delta_x2", 0.5, "when the second point is, as a fraction of the time left"),
    unit("delta_y2", 0.3, "level at the second point, as a fraction of the first's"),
)


def decay(lr: float, profile: Profile, *, warmup: Span, end: float, sampling: Sampling | None = None) -> Schedule:
    """The profile once over the horizon, after a linear warmup."""
    return Schedule(lr=lr, shape=Once(profile=profile), warmup=warm(warmup), end=end, sampling=sampling)


@REGISTRY.add(
    "cosine_kdecay",
    WARMUP,
    END,
    K,
    summary="Half a cosine on a bent clock.",
    formula="lr (end + (1 - end)(1 + cos(pi z^k)) / 2)",
    source="Zhang & Li 2004.05909; timm CosineLRScheduler(k_decay)",
)
def cosine_kdecay(lr: float, *, warmup: Span, end: float, k: float) -> Schedule:
    return decay(lr, KDecay(profile=Cosine(), k=k), warmup=warmup, end=end)


@REGISTRY.add(
    "polynomial_kdecay",
    WARMUP,
    END,
    K,
    Parameter(
        name="power",
        default=1.0,
        kind="float",
        description="exponent",
        above=0,
        search={"low": 0.3, "high": 4.0, "log": True},
    ),
    summary="A power of the remaining time on a bent clock.",
    formula="lr (end + (1 - end)(1 - z^k)^power)",
    source="Zhang & Li 2004.05909; timm PolyLRScheduler(k_decay)",
)
def polynomial_kdecay(lr: float, *, warmup: Span, end: float, k: float, power: float) -> Schedule:
    return decay(lr, KDecay(profile=Polynomial(power=power), k=k), warmup=warmup, end=end)


@REGISTRY.add(
    "tanh",
    WARMUP,
    END,
    Parameter(
        name="lower",
        default=-7.0,
        kind="float",
        description="argument of tanh at the start",
        below=0,
        search={"low": -10.0, "high": -3.0},
    ),
    Parameter(
        name="upper",
        default=3.0,
        kind="float",
        description="argument of tanh at the end",
        above=0,
        search={"low": 1.0, "high": 5.0},
    ),
    summary="A hyperbolic tangent: flat, a slope, flat.",
    formula="lr (end + (1 - end)(1 - tanh(lower (1 - z) + upper z)) / 2), the end from T on",
    source="Hsueh et al. 1806.01593; timm TanhLRScheduler",
)
def tanh(lr: float, *, warmup: Span, end: float, lower: float, upper: float) -> Schedule:
    return decay(lr, Tanh(lower=lower, upper=upper), warmup=warmup, end=end)


@REGISTRY.add(
    "sqrt_circle",
    WARMUP,
    END,
    Parameter(
        name="power",
        default=1.0,
        kind="float",
        description="0 constant, 1 a quarter circle",
        low=0,
        search={"low": 0.0, "high": 1.0},
    ),
    summary="A quarter circle: high for long and steep at the end.",
    formula="lr (end + (1 - end) sqrt(1 - z^2)^power)",
    source="init2winit sqrt family (Naganuma et al. 2603.10301)",
)
def sqrt_circle(lr: float, *, warmup: Span, end: float, power: float) -> Schedule:
    return decay(lr, Circle(power=power), warmup=warmup, end=end)


@REGISTRY.add(
    "one_minus_sqrt",
    WARMUP,
    END,
    SAMPLING,
    summary="Steep at first, then ever slower: the 1-sqrt cooldown over everything.",
    formula="lr (end + (1 - end)(1 - sqrt(z)))",
    source="Haegele et al. 2405.18392",
)
def one_minus_sqrt(lr: float, *, warmup: Span, end: float, sampling: Sampling | None) -> Schedule:
    return decay(lr, OneMinusSqrt(), warmup=warmup, end=end, sampling=sampling)


@REGISTRY.add(
    "square",
    WARMUP,
    END,
    SAMPLING,
    summary="A parabola: slow at first, steep at the end.",
    formula="lr (end + (1 - end)(1 - z^2))",
    source="Haegele et al. 2405.18392",
)
def square(lr: float, *, warmup: Span, end: float, sampling: Sampling | None) -> Schedule:
    return decay(lr, Square(), warmup=warmup, end=end, sampling=sampling)


@REGISTRY.add(
    "two_point_linear",
    WARMUP,
    *POINTS,
    summary="Straight lines through two free points: the shape itself is searched.",
    formula="through (0, 1), (x1, y1), (x2, delta_y2 y1), (1, 0), x1 = delta_x1, x2 = x1 + delta_x2 (1 - x1)",
    source="Naganuma et al. 2603.10301 (TPL)",
)
def two_point_linear(
    lr: float, *, warmup: Span, y1: float, delta_x1: float, delta_x2: float, delta_y2: float
) -> Schedule:
    profile = TwoPoint(y1=y1, delta_x1=delta_x1, delta_x2=delta_x2, delta_y2=delta_y2)
    return decay(lr, profile, warmup=warmup, end=0.0)


@REGISTRY.add(
    "two_point_spline",
    WARMUP,
    *POINTS,
    summary="A monotone cubic through two free points: the shape itself is searched.",
    formula="PCHIP through (0, 1), (x1, y1), (x2, delta_y2 y1), (1, 0), x1 = delta_x1, x2 = x1 + delta_x2 (1 - x1)",
    source="Naganuma et al. 2603.10301 (TPS); Fritsch & Butland 1984",
)
def two_point_spline(
    lr: float, *, warmup: Span, y1: float, delta_x1: float, delta_x2: float, delta_y2: float
) -> Schedule:
    profile = TwoPoint(y1=y1, delta_x1=delta_x1, delta_x2=delta_x2, delta_y2=delta_y2, curve="spline")
    return decay(lr, profile, warmup=warmup, end=0.0)
