"""The rule of every constructor argument, from both sides: the last value allowed and the first one refused."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest

from schedules import (
    Against,
    At,
    Cycle,
    Every,
    Fixed,
    Fractal,
    Join,
    Momentum,
    Once,
    OneCycle,
    Points,
    Product,
    Profile,
    Restarts,
    Sampling,
    Schedule,
    ScheduleError,
    Shape,
    Span,
    StableDecay,
    TwoPoint,
    Warmup,
    groups,
    scaling,
)
from schedules import profiles as pr
from schedules.tagged import Tagged, variants

TINY, NEXT = math.nextafter(0.0, 1.0), math.nextafter(1.0, 0.0)
STEP = Span(1.0, "steps")

# (class, argument, allowed values, refused values); arguments not given come from BASE.
NUMBERS: list[tuple[type[Tagged], str, list[Any], list[Any]]] = [
    (Schedule, "lr", [TINY, 1, 1e300], [0, -0.1, math.inf]),
    (Schedule, "end", [0, 0.5, 3], [-TINY]),
    (pr.Cosine, "power", [TINY, 9], [0]),
    (pr.Polynomial, "power", [TINY, 9], [0]),
    (pr.Exponential, "ratio", [0, 2], [-TINY]),
    (pr.Exponential, "limit", [0, None], [-TINY]),
    (pr.Rex, "d", [0, NEXT], [-TINY, 1]),
    (pr.Steps, "gamma", [0, 2], [-TINY]),
    (pr.Steps, "at", [(0.0,), (2, 3)], [(), (-TINY,), 0.5, ("a",)]),
    (pr.OneMinusPower, "power", [TINY], [0]),
    (pr.InverseSqrt, "power", [TINY], [0]),
    (pr.InverseTime, "rate", [TINY], [0]),
    (pr.Tanh, "lower", [-TINY], [0]),
    (pr.Tanh, "upper", [TINY], [0]),
    (pr.Circle, "power", [0], [-TINY]),
    (pr.Saturating, "rate", [TINY], [0]),
    (pr.KDecay, "k", [TINY], [0]),
    (TwoPoint, "y1", [0, 1], [-TINY, 1.01]),
    (TwoPoint, "delta_x1", [0, 1], [-TINY, 1.01]),
    (TwoPoint, "delta_x2", [0, 1], [-TINY, 1.01]),
    (TwoPoint, "delta_y2", [0, 1], [-TINY, 1.01]),
    (Points, "x", [(0, 1)], [(0,), (0, 0.5), (0.1, 1), (0, 0.5, 0.5, 1), (0, 2)]),
    (Points, "y", [(0, 5)], [(1,), (1, 2, 3), (1, -TINY)]),
    (At, "points", [(TINY, NEXT)], [(), (0,), (1,)]),
    (Warmup, "start", [0, 1], [-TINY, 1.01]),
    (Fixed, "value", [0, NEXT], [-TINY, 1]),
    (Against, "low", [0, 0.95], [-TINY, 0.96, 1]),
    (Against, "high", [0.85, NEXT], [0.84, 1]),
    (Against, "final", [None, 0, NEXT], [-TINY, 1]),
    (Restarts, "cycles", [TINY, 3], [0, -1]),
    (Restarts, "factor", [1, 2.5], [NEXT]),
    (Restarts, "decay", [TINY, 1], [0, 1.01]),
    (Cycle, "cycles", [TINY, 3], [0]),
    (Cycle, "decay", [TINY, 1], [0, 1.01]),
    (OneCycle, "rise", [0, 1], [-TINY, 1.01]),
    (OneCycle, "turn", [None, 0.3, 2], [0, 0.29, 2.01]),
    (OneCycle, "start", [0, 1], [-TINY, 1.01]),
    (Fractal, "period", [1, 64, 2**20], [0, 3, 24, 2**21, 8.0]),
    (Fractal, "condition", [TINY, 1], [0, 1.01]),
]

SPANS: list[tuple[type[Tagged], str, list[Any], list[Any]]] = [
    (Once, "over", [STEP, None], [Span(0.0), 0.5, "5%"]),
    (Once, "tail", [Span(0.0), STEP], [None, 0.5]),
    (StableDecay, "decay", [STEP, Span(1.0)], [Span(0.0), None]),
    (StableDecay, "scale", [STEP, None], [Span(0.0)]),
    (Every, "span", [STEP], [Span(0.0), None, 3]),
    (Warmup, "span", [Span(0.0), STEP], [None, 100]),
    (Restarts, "first", [STEP], [Span(0.0), 10]),
    (Cycle, "up", [STEP], [Span(0.0), 10]),
    (Cycle, "down", [STEP, None], [Span(0.0), 10]),
    (Join, "at", [(STEP,)], [(), (STEP, STEP), (Span(0.0),), STEP, (5,)]),
]

ONE = Schedule(lr=1.0)
CHOICES: list[tuple[type[Tagged], str, list[Any], list[Any]]] = [
    (Schedule, "accounting", ["open", "closed", "shifted"], ["half", None]),
    (Schedule, "after", ["hold", "continue", "raise"], ["stop"]),
    (Once, "beyond", ["hold", "mirror", "repeat", "continue"], ["bounce"]),
    (Warmup, "counting", ["elapsed", "next", "inside"], ["t/W"]),
    (OneCycle, "accounting", ["torch", "fraction", "floor", "ulmfit"], ["fastai"]),
    (TwoPoint, "curve", ["linear", "spline"], ["cubic"]),
    (Points, "curve", ["linear", "spline"], ["cubic"]),
    (pr.Exponential, "anchored", [True, False], [1, "yes"]),
    (Once, "rising", [True, False], [0]),
    (Warmup, "overlay", [True, False], [None]),
    (Schedule, "shape", [Once(), Fractal()], [None, "once", pr.Linear()]),
    (Schedule, "sampling", [None, Every(span=STEP)], [STEP]),
    (Schedule, "warmup", [None, Warmup(span=STEP)], [STEP]),
    (Schedule, "momentum", [None, Fixed()], [0.9]),
    (Once, "profile", [pr.Linear()], [None, "linear", Once()]),
    (StableDecay, "cooldown", [pr.Linear()], [None]),
    (StableDecay, "stable", [pr.Linear()], [None]),
    (Restarts, "profile", [pr.Linear()], [None]),
    (Cycle, "profile", [pr.Linear()], [None]),
    (Cycle, "envelope", [None, Once()], [pr.Linear()]),
    (OneCycle, "profile", [pr.Linear()], [None]),
    (Warmup, "ramp", [pr.Linear()], [None]),
    (pr.KDecay, "profile", [pr.Linear()], [None, pr.KDecay()]),
    (Join, "parts", [(ONE, ONE)], [(), (ONE,), (Once(), Once()), ONE]),
    (Product, "factors", [(ONE,)], [(), (Once(),)]),
]

TABLE = NUMBERS + SPANS + CHOICES

BASE: dict[type[Tagged], dict[str, Any]] = {
    Schedule: {"lr": 1.0},
    pr.Steps: {"at": (0.5,)},
    Points: {"x": (0.0, 1.0), "y": (1.0, 0.0)},
    At: {"points": (0.5,)},
    Every: {"span": STEP},
    Warmup: {"span": STEP},
    Join: {"parts": (ONE, ONE), "at": (STEP,)},
    Product: {"factors": (ONE,)},
    Restarts: {"cycles": 2.0},
    Cycle: {"cycles": 2.0},
}


def given(cls: type[Tagged], argument: str, value: Any) -> dict[str, Any]:
    values = BASE.get(cls, {}) | {argument: value}
    if argument in {"first", "up"}:
        values.pop("cycles")
    if argument == "down":
        values = {"up": STEP, argument: value}
    if argument == "scale":
        values["stable"] = pr.InverseSqrt()
    if (argument, value) == ("beyond", "continue"):
        values["profile"] = pr.Cosine()
    if argument == "anchored":
        values["ratio"] = 0.5
    return values


@pytest.mark.parametrize(("cls", "argument", "value"), [(c, a, v) for c, a, good, _ in TABLE for v in good])
def test_a_value_on_the_right_side_of_its_rule_is_taken(cls: type[Tagged], argument: str, value: Any) -> None:
    assert getattr(cls(**given(cls, argument, value)), argument) == value


@pytest.mark.parametrize(("cls", "argument", "value"), [(c, a, v) for c, a, _, bad in TABLE for v in bad])
def test_a_value_on_the_wrong_side_is_refused_by_name(cls: type[Tagged], argument: str, value: Any) -> None:
    with pytest.raises(ScheduleError) as refused:
        cls(**given(cls, argument, value))
    named = refused.value.argument.split("[")[0]
    # A pair that does not go together is reported under one of the two names.
    assert named == argument or {named, argument} in ({"low", "high"}, {"x", "y"}, {"parts", "at"})
    assert str(refused.value).startswith(f"{refused.value.argument}: ")
    assert "got" in str(refused.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.5", True, {"low": 0.5}])
@pytest.mark.parametrize(("cls", "argument"), [(c, a) for c, a, *_ in NUMBERS])
def test_nothing_but_a_finite_number_is_a_number(cls: type[Tagged], argument: str, value: Any) -> None:
    with pytest.raises(ScheduleError, match=argument):
        cls(**given(cls, argument, value))


def test_the_table_covers_every_argument_of_every_piece() -> None:
    bases: list[type[Tagged]] = [Profile, Shape, Sampling, Momentum, Warmup, Schedule]
    pieces = [cls for base in bases for cls in variants(base).values()]
    missing = [
        f"{cls.__name__}.{item.name}"
        for cls in pieces
        for item in fields(cls)
        if not any(cls is c and item.name == a for c, a, *_ in TABLE)
    ]
    assert missing == []
    assert set(pieces) <= {*(c for c, *_ in TABLE), *(cls for cls in pieces if not fields(cls))}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Once(over=STEP, tail=STEP), "tail: need over or tail, not both, got 1 steps"),
        (lambda: Once(profile=pr.Linear(), beyond="continue"), "beyond: linear ends at u = 1"),
        (
            lambda: Once(profile=pr.Cosine(), beyond="continue", rising=True),
            "beyond: a rising profile ends at its peak",
        ),
        (lambda: StableDecay(stable=pr.Linear(), scale=STEP), "scale: linear ends at u = 1"),
        (Restarts, "first: need either first or cycles, got first=None, cycles=None"),
        (lambda: Restarts(first=STEP, cycles=2), "first: need either first or cycles"),
        (Cycle, "up: need either up or cycles"),
        (lambda: Cycle(cycles=2, down=STEP), "down: goes with up, not with cycles"),
        (lambda: OneCycle(accounting="ulmfit", turn=0.5), "turn: the ulmfit accounting has none, got 0.5"),
        (lambda: OneCycle(accounting="ulmfit", rise=0), "rise: need 0 < rise under the ulmfit accounting"),
        (lambda: pr.Exponential(ratio=1.0, anchored=True), "ratio: need 0 < ratio < 1 to anchor it, got 1.0"),
        (lambda: pr.Exponential(ratio=0.5, anchored=True, limit=0.1), "limit: an anchored exponential stops at 0"),
        (lambda: Schedule(lr=1.0, shape=Fractal(), end=0.1), "end: a fractal has its own lowest rate: need end = 0"),
        (
            lambda: Schedule(lr=1.0, shape=Product(factors=(Schedule(lr=1.0, momentum=Fixed()),))),
            "momentum: belongs to the whole schedule, not to a part of a product",
        ),
        (lambda: groups.layer_decay(0, 0.5), "num_layers: need a whole number 1 <= num_layers, got 0"),
        (lambda: groups.layer_decay(2, 0.0), "decay: need 0 < decay <= 1, got 0.0"),
        (lambda: groups.discriminative(0, 1.0), "groups: need a whole number 1 <= groups, got 0"),
        (lambda: scaling.linear(0.0, batch=1, base_batch=1), "lr: need 0 < lr, got 0.0"),
        (lambda: scaling.square_root(0.1, batch=0, base_batch=1), "batch: need a whole number 1 <= batch, got 0"),
        (lambda: scaling.linear(0.1, batch=1, base_batch=0), "base_batch: need a whole number 1 <= base_batch, got 0"),
    ],
)
def test_values_that_do_not_go_together_are_refused_with_the_reason(build: Any, message: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        build()
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("schedule", "total", "message"),
    [
        (Schedule(lr=1.0), 0, "total_steps: need a whole number >= 1, got 0"),
        (Schedule(lr=1.0), 2.0, "total_steps: need a whole number >= 1, got 2.0"),
        (Schedule(lr=1.0), True, "total_steps: need a whole number >= 1, got True"),
        (
            Schedule(lr=1.0, warmup=Warmup(span=Span(120.0, "steps"))),
            100,
            "warmup: need 0 <= warmup <= total_steps, got 120 of 100 steps",
        ),
        (
            Schedule(lr=1.0, shape=StableDecay(decay=Span(60.0, "steps")), warmup=Warmup(span=Span(50.0, "steps"))),
            100,
            "decay: need 0 <= decay <= the steps after the warmup, got 60 of 50 steps",
        ),
        (
            Schedule(lr=1.0, shape=Join(parts=(ONE, ONE), at=(Span(101.0, "steps"),))),
            100,
            "at[0]: need 0 < at[0] <= 100 steps, got 101",
        ),
        (
            Schedule(lr=1.0, shape=Product(factors=(Schedule(lr=1.0, warmup=Warmup(span=Span(9.0, "steps"))),))),
            8,
            "factors[0].warmup: need 0 <= warmup <= total_steps, got 9 of 8 steps",
        ),
        (
            Schedule(lr=1.0, shape=Restarts(first=Span(1e-7, "steps"), factor=1.0000001)),
            100,
            "first: need at most 1000000 cycles",
        ),
        (
            Schedule(lr=1.0, momentum=Against(final=0.9)),
            9,
            "final: needs a shape with one last descent, such as one_cycle",
        ),
    ],
)
def test_a_schedule_that_does_not_fit_its_horizon_is_refused_when_bound(
    schedule: Schedule, total: int, message: str
) -> None:
    with pytest.raises(ScheduleError) as refused:
        schedule.bind(total)
    assert str(refused.value).startswith(message)


def test_pieces_are_frozen_comparable_and_hashable() -> None:
    assert Schedule(lr=1) == Schedule(lr=1.0)
    assert len({Schedule(lr=1), Schedule(lr=1.0), Schedule(lr=2.0)}) == 2
    with pytest.raises(AttributeError):
        ONE.lr = 2.0
    assert not ONE.needs_metric
