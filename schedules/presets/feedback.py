"""Presets that answer to a metric: reduce on plateau and greedy."""

from __future__ import annotations

from schedules.feedback import Greedy, ReduceOnPlateau
from schedules.presets.common import REGISTRY, WARMUP, warm
from schedules.presets.model import Domain, Parameter
from schedules.span import Span


def patience(search: Domain) -> Parameter:
    """The parameter `patience`."""
    return Parameter(
        name="patience",
        default=10,
        kind="int",
        description="observations in a row that are put up with; in a study one is made at each epoch's end",
        low=0,
        search=search,
    )


def threshold(default: float, description: str) -> Parameter:
    """The parameter `threshold`."""
    return Parameter(name="threshold", default=default, kind="float", description=description, low=0)


def lowest(default: float, search: Domain) -> Parameter:
    """The parameter `end`."""
    return Parameter(
        name="end",
        default=default,
        kind="float",
        description="lowest rate as a ratio of lr",
        low=0,
        high=1,
        search=search,
    )


COOLDOWN = Parameter(
    name="cooldown", default=0, kind="int", description="observations that count neither way after a cut", low=0
)


@REGISTRY.add(
    "reduce_on_plateau",
    WARMUP,
    Parameter(
        name="factor",
        default=0.1,
        kind="float",
        description="factor at each cut",
        above=0,
        below=1,
        search={"choice": [0.1, 0.2, 0.5]},
    ),
    patience({"choice": [1, 2, 5, 10]}),
    threshold(1e-4, "share of the best loss by which a better one must be lower"),
    COOLDOWN,
    lowest(0.0, {"choice": [0.0, 0.001, 0.01]}),
    summary="Cut when the validation loss has stopped falling; the rates are known only after training.",
    formula="lr factor^(cuts so far)",
    source="torch ReduceLROnPlateau; Keras ReduceLROnPlateau",
)
def reduce_on_plateau(
    lr: float, *, warmup: Span, factor: float, patience: int, threshold: float, cooldown: int, end: float
) -> ReduceOnPlateau:
    return ReduceOnPlateau(
        lr=lr,
        warmup=warm(warmup),
        factor=factor,
        patience=patience,
        threshold=threshold,
        cooldown=cooldown,
        end=end,
    )


@REGISTRY.add(
    "greedy",
    WARMUP,
    Parameter(
        name="factor",
        default=0.95,
        kind="float",
        description="factor at each cut, divisor at each raise",
        above=0,
        below=1,
        search={"low": 0.5, "high": 0.99},
    ),
    patience({"choice": [0, 1, 2, 5]}),
    threshold(1e-6, "by how much a better loss must be lower"),
    Parameter(
        name="window",
        default=1,
        kind="int",
        description="how many of the last losses are averaged",
        low=1,
        search={"choice": [1, 3, 5]},
    ),
    lowest(0.01, {"choice": [0.001, 0.01, 0.1]}),
    Parameter(
        name="most",
        default=10.0,
        kind="float",
        description="highest rate as a ratio of lr",
        low=1,
        search={"choice": [1.0, 3.0, 10.0]},
    ),
    summary="Raise while the validation loss falls, cut while it does not; the rates are known only after training.",
    formula="lr factor^(cuts - raises so far)",
    source="GreedyLR 2512.14527; Transformers GreedyLR, whose bounds are absolute",
)
def greedy(
    lr: float,
    *,
    warmup: Span,
    factor: float,
    patience: int,
    threshold: float,
    window: int,
    end: float,
    most: float,
) -> Greedy:
    return Greedy(
        lr=lr,
        warmup=warm(warmup),
        factor=factor,
        patience=patience,
        threshold=threshold,
        window=window,
        end=end,
        most=most,
    )
