"""What an engine is asked to train: one frozen job per trial."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from schedules import AnySchedule
from worker.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerNumbers:
    """An optimizer of `torch.optim` and its numbers; `momentum` is beta1 for Adam and AdamW."""

    name: Literal["sgd", "adam", "adamw", "rmsprop"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 0.0
    nesterov: bool = False
    beta2: float = 0.999
    alpha: float = 0.99
    eps: float = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A trial to train: its curve is a function of this value (`id` apart) and of nothing else.

    Exactly one of `epochs` and `steps` is given. `report_every` counts steps between training losses; 0 gives at most
    100 of them, and one at each epoch end.
    """

    id: int
    task: Task
    schedule: AnySchedule
    optimizer: OptimizerNumbers = field(default_factory=OptimizerNumbers)
    batch_size: int = 64
    label_smoothing: float = 0.0
    epochs: int | None = None
    steps: int | None = None
    seed: int = 0
    report_every: int = 0

    @property
    def needs_metric(self) -> bool:
        """Whether its rates are known only as it trains: no table of them, and no prefix to share, can be computed."""
        return self.schedule.needs_metric

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"epochs, steps: need exactly one of the two, got {self.epochs}, {self.steps}")
        horizon = self.epochs if self.steps is None else self.steps
        if horizon is not None and horizon < 1:
            raise ValueError(f"epochs, steps: need at least 1, got {horizon}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: need at least 1, got {self.batch_size}")
        if self.report_every < 0:
            raise ValueError(f"report_every: need at least 0, got {self.report_every}")
        if self.seed < 0:
            raise ValueError(f"seed: need at least 0, got {self.seed}")
