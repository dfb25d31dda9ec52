"""What an engine is asked to train: one frozen job per trial."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Literal

from schedules import AnySchedule, to_dict
from schedules.updates import OptimizerNumbers
from worker.engine.augmentation import Augmentation
from worker.engine.averaging import Averaging
from worker.engine.snapshot import Snapshot
from worker.tasks import Task

__all__ = ["Job", "OptimizerNumbers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A trial to train: its curve is a function of this value (`id` apart) and of nothing else.

    Exactly one of `epochs` and `steps` is given. `report_every` counts steps between training losses; 0 gives at most
    100 of them, and one at each epoch end. `dropout_masks`: jobs of one seed share them, as they share batches, or each
    draws its own. `averaging`: what is evaluated beside the last weights, at the end. `augmentation`: what is done to
    the training images. `precision`: see `worker.engine.precision`. `resume` continues where the snapshot was taken,
    with the points after it.
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
    dropout_masks: Literal["shared", "own"] = "shared"
    averaging: tuple[Averaging, ...] = ()
    augmentation: Augmentation | None = None
    precision: Literal["float32", "bf16"] = "float32"
    resume: Snapshot | None = field(default=None, compare=False, repr=False)

    @property
    def fingerprint(self) -> str:
        """Equal for jobs with the same curve and points, in every process."""
        numbers = (self.batch_size, self.label_smoothing, self.epochs, self.steps, self.seed, self.report_every)
        averages = [asdict(average) | {"name": average.name} for average in self.averaging]
        images = None if self.augmentation is None else asdict(self.augmentation)
        how = [self.dropout_masks, averages, images, self.precision]
        parts = [self.task.key, to_dict(self.schedule), asdict(self.optimizer), numbers, how]
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

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
        names = [average.name for average in self.averaging]
        if len(set(names)) < len(names):
            raise ValueError(f"averaging: need each kind at most once, got {', '.join(names)}")
        if self.seed < 0:
            raise ValueError(f"seed: need at least 0, got {self.seed}")
