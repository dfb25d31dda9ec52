"""Hypothesis strategies: any point of the grammar whose relative spans fit any horizon."""

from __future__ import annotations

from hypothesis import strategies as st

from schedules import (
    Against,
    At,
    Cycle,
    Every,
    Fixed,
    Join,
    Once,
    OneCycle,
    Product,
    Profile,
    Restarts,
    Schedule,
    Shape,
    Span,
    StableDecay,
    TwoPoint,
    Warmup,
)
from schedules import profiles as pr


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_subnormal=False)


units = numbers(0.0, 1.0)
shares = numbers(0.01, 0.45).map(Span)

DECREASING: st.SearchStrategy[Profile] = st.one_of(
    st.builds(pr.Constant),
    st.builds(pr.Linear),
    st.builds(pr.Cosine, power=numbers(0.2, 4)),
    st.builds(pr.Polynomial, power=numbers(0.2, 4)),
    st.builds(pr.Exponential, ratio=numbers(1e-6, 1)),
    st.builds(pr.Exponential, ratio=numbers(1e-6, 0.99), anchored=st.just(True)),
    st.builds(pr.Rex, d=numbers(0, 0.99)),
    st.builds(pr.Steps, at=st.lists(units, min_size=1, max_size=4).map(tuple), gamma=units),
    st.builds(pr.OneMinusSqrt),
    st.builds(pr.Square),
    st.builds(pr.OneMinusPower, power=numbers(0.2, 4)),
    st.builds(pr.InverseSqrt, power=numbers(0.1, 2)),
    st.builds(pr.InverseTime, rate=numbers(0.01, 100)),
    st.builds(pr.Tanh, lower=numbers(-10, -1), upper=numbers(1, 10)),
    st.builds(pr.Circle, power=numbers(0, 3)),
    st.builds(pr.Saturating, rate=numbers(0.5, 10)),
    st.builds(pr.KDecay, profile=st.builds(pr.Linear), k=numbers(0.3, 4)),
    st.builds(
        TwoPoint, y1=units, delta_x1=units, delta_x2=units, delta_y2=units, curve=st.sampled_from(["linear", "spline"])
    ),
)
"""Profiles that never rise, all within [0, 1]."""

PROFILES = st.one_of(DECREASING, st.builds(pr.MirrorCosine))

ONCE = st.builds(Once, profile=PROFILES, beyond=st.sampled_from(["hold", "mirror", "repeat"]), rising=st.booleans())


ACCOUNTINGS = st.sampled_from(["torch", "fraction"])


def shapes(shares: st.SearchStrategy[Span]) -> st.SearchStrategy[Shape]:
    return st.one_of(
        ONCE,
        st.builds(Once, profile=PROFILES, tail=shares),
        st.builds(Restarts, profile=PROFILES, cycles=st.integers(1, 6), factor=numbers(1, 3), decay=numbers(0.1, 1)),
        st.builds(Restarts, profile=PROFILES, first=shares, factor=st.sampled_from([1, 2, 3])),
        st.builds(Cycle, profile=PROFILES, cycles=numbers(0.5, 8), decay=numbers(0.1, 1)),
        st.builds(Cycle, profile=PROFILES, up=shares, down=shares),
        st.builds(StableDecay, decay=shares, cooldown=PROFILES, stable=DECREASING),
        st.builds(
            OneCycle, rise=units, start=units, profile=PROFILES, accounting=st.sampled_from(["torch", "fraction"])
        ),
    )


SHAPES = shapes(shares)

SAMPLINGS = st.one_of(
    st.none(), st.builds(Every, span=shares), st.builds(At, points=st.lists(numbers(0.01, 0.99), min_size=1).map(tuple))
)


def warmups(shares: st.SearchStrategy[Span]) -> st.SearchStrategy[Warmup | None]:
    return st.one_of(
        st.none(),
        st.builds(
            Warmup,
            span=shares,
            start=units,
            ramp=DECREASING,
            counting=st.sampled_from(["elapsed", "next", "inside"]),
            overlay=st.booleans(),
        ),
    )


WARMUPS = warmups(shares)

SIMPLE = st.builds(
    Schedule,
    lr=numbers(1e-6, 10),
    shape=SHAPES,
    sampling=SAMPLINGS,
    warmup=WARMUPS,
    end=units,
    accounting=st.sampled_from(["open", "closed", "shifted"]),
    momentum=st.one_of(st.none(), st.builds(Fixed), st.builds(Against)),
)

# The warmup in front of a whole, and a piece's own warmup and cooldown, must fit into the horizon together.
smaller = numbers(0.01, 0.27).map(Span)
FACTORS = st.builds(Schedule, lr=numbers(0.1, 1), shape=shapes(smaller), warmup=warmups(smaller), end=units)

SCHEDULES = st.one_of(
    SIMPLE,
    st.builds(
        Schedule,
        lr=numbers(1e-6, 10),
        shape=st.one_of(
            st.builds(lambda a, b, at: Join(parts=(a, b), at=(at,)), FACTORS, FACTORS, shares),
            st.builds(lambda a, b: Product(factors=(a, b)), FACTORS, FACTORS),
        ),
        warmup=WARMUPS,
    ),
)
"""Any schedule that needs no epochs, fits every horizon, and stays between 0 and its peak."""
