"""The registry and the parameters that many presets share."""

from __future__ import annotations

from schedules.presets.model import Parameter, Registry
from schedules.span import Span
from schedules.warmup import Warmup

REGISTRY = Registry()

LR = Parameter(
    name="lr",
    default=None,
    kind="float",
    description="peak learning rate",
    above=0,
    search={"low": 1e-4, "high": 1.0, "log": True},
)
"""The parameter every preset has; not listed in `Preset.parameters`, because a study gives it once for all families."""

WARMUP = Parameter(
    name="warmup",
    default="0%",
    kind="span",
    description="length of the linear warmup from 0 in front",
    search={"low": 0.0, "high": 0.1},
)

FINAL_RATIOS = {"choice": [0.0, 0.001, 0.01, 0.1]}


def end(default: float = 0.0, *, positive: bool = False) -> Parameter:
    """The parameter `end`."""
    return Parameter(
        name="end",
        default=default,
        kind="float",
        description="final rate as a ratio of the peak",
        low=None if positive else 0,
        above=0 if positive else None,
        high=1,
        search={"low": 1e-4, "high": 0.5, "log": True} if positive else FINAL_RATIOS,
    )


END = end()

SAMPLING = Parameter(
    name="sampling",
    default="every step",
    kind="sampling",
    description="when the profile is looked at; the rate is held in between",
    search={"choice": ["every step", "10%", "5%", "1%", "50-75", "33-66", "25-50-75"]},
)

LOW_MOMENTUM = Parameter(
    name="low_momentum",
    default=0.85,
    kind="float",
    description="momentum where the rate peaks",
    low=0,
    below=1,
    search={"low": 0.8, "high": 0.9},
)
HIGH_MOMENTUM = Parameter(
    name="high_momentum", default=0.95, kind="float", description="momentum where the rate is low", low=0, below=1
)


def warm(span: Span) -> Warmup | None:
    """The linear warmup, or none for a span of nothing."""
    return Warmup(span=span) if span.value else None
