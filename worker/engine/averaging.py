"""What a job can ask to have evaluated beside its last weights: averages of the weights, and ensembles.

All are evaluated at the end of the one training: SWA (Izmailov et al. 2018, arXiv:1803.05407), an exponential moving
average, and snapshot ensembles (Huang et al. 2017, arXiv:1704.00109).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from schedules import Span

LATE = Span(0.75)
EPOCH = Span(1.0, "epochs")


@dataclass(frozen=True, slots=True)
class Swa:
    """The equal average of the weights after each multiple of `every` that lies behind `start`."""

    name: ClassVar[str] = "swa"
    start: Span = LATE
    every: Span = EPOCH


@dataclass(frozen=True, slots=True)
class Ema:
    """The exponential moving average of the weights after each update, corrected for its beginning as Adam's are."""

    name: ClassVar[str] = "ema"
    decay: float = 0.999

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"averaging.ema.decay: need 0 <= decay < 1, got {self.decay}")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The models at the ends of the last `members` cycles of the schedule; their predictions are averaged."""

    name: ClassVar[str] = "ensemble"
    members: int = 5

    def __post_init__(self) -> None:
        if self.members < 1:
            raise ValueError(f"averaging.ensemble.members: need at least 1, got {self.members}")


Averaging: TypeAlias = Swa | Ema | Ensemble
