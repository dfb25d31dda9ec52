"""The grammar itself as one preset, so that a study can search it: profile x shape x sampling x warmup x end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schedules.cycles import Cycle, Restarts
from schedules.presets.common import END, REGISTRY, SAMPLING, WARMUP
from schedules.presets.model import Parameter
from schedules.profiles import (
    Circle,
    Constant,
    Cosine,
    Exponential,
    Linear,
    MirrorCosine,
    OneMinusSqrt,
    Polynomial,
    Profile,
    Rex,
    Square,
    Tanh,
)
from schedules.sampling import Sampling
from schedules.schedule import Schedule
from schedules.shapes import Once, Shape, StableDecay
from schedules.span import Span
from schedules.warmup import Warmup

PROFILES: dict[str, Profile] = {
    "linear": Linear(),
    "cosine": Cosine(),
    "rex": Rex(),
    "rex_author": Rex(d=0.9),
    "1-sqrt": OneMinusSqrt(),
    "square": Square(),
    "circle": Circle(),
    "mirror_cosine": MirrorCosine(),
    "polynomial_0.5": Polynomial(power=0.5),
    "polynomial_2": Polynomial(power=2.0),
    "exponential_0.01": Exponential(ratio=0.01, anchored=True),
    "tanh": Tanh(),
    "constant": Constant(),
}

RAMPS: dict[str, Profile] = {
    "linear": Linear(),
    "cosine": Cosine(),
    "1-sqrt": OneMinusSqrt(),
    "square": Polynomial(power=2),
}

# The parameters arrive checked, each of its kind, under its own name.
MAKERS: dict[str, Callable[[Profile, dict[str, Any]], Shape]] = {
    "once": lambda profile, p: Once(profile=profile),
    "restarts": lambda profile, p: Restarts(profile=profile, cycles=p["cycles"], factor=p["t_mult"], decay=p["peaks"]),
    "cycles": lambda profile, p: Cycle(profile=profile, cycles=p["cycles"], decay=p["peaks"]),
    "stable_decay": lambda profile, p: StableDecay(cooldown=profile, decay=p["decay"]),
}
SHAPES = tuple(MAKERS)


@REGISTRY.add(
    "grammar",
    WARMUP,
    END,
    SAMPLING,
    Parameter(
        name="profile",
        default="cosine",
        kind="choice",
        description="the curve from 1 to 0",
        options=tuple(PROFILES),
        search={"choice": ["linear", "cosine", "rex", "1-sqrt", "square", "polynomial_2"]},
    ),
    Parameter(
        name="shape",
        default="once",
        kind="choice",
        description="how the profile is laid over the horizon",
        options=SHAPES,
        search={"choice": list(SHAPES)},
    ),
    Parameter(
        name="cycles",
        default=3,
        kind="int",
        description="of the shapes restarts and cycles",
        low=1,
        search={"low": 1, "high": 5},
    ),
    Parameter(
        name="t_mult",
        default=1.0,
        kind="float",
        description="of the shape restarts: growth of the cycles",
        low=1,
        search={"choice": [1.0, 2.0]},
    ),
    Parameter(
        name="peaks",
        default=1.0,
        kind="float",
        description="of restarts and cycles: factor between peaks",
        above=0,
        high=1,
        search={"low": 0.3, "high": 1.0},
    ),
    Parameter(
        name="decay",
        default="20%",
        kind="span",
        description="of the shape stable_decay: the cooldown",
        positive=True,
        search={"low": 0.05, "high": 0.5},
    ),
    Parameter(
        name="ramp",
        default="linear",
        kind="choice",
        description="the warmup's curve",
        options=tuple(RAMPS),
        search={"choice": list(RAMPS)},
    ),
    summary="Any profile in any shape at any sampling behind any warmup.",
    formula="lr (end + (1 - end) p(u)), u by shape and sampling",
    source="the profile x sampling-rate view of Chen, Wolfe & Kyrillidis 2107.04197, completed",
)
def grammar(
    lr: float, *, warmup: Span, ramp: str, end: float, sampling: Sampling | None, profile: str, **shaped: object
) -> Schedule:
    front = Warmup(span=warmup, ramp=RAMPS[ramp]) if warmup.value else None
    return Schedule(
        lr=lr,
        shape=MAKERS[str(shaped.pop("shape"))](PROFILES[profile], shaped),
        warmup=front,
        end=end,
        sampling=sampling,
    )
