"""One lane's own part: its job, position, tables, and what it has measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worker.engine import divergence, optimizers
from worker.engine.job import Job
from worker.engine.lanes import rules
from worker.engine.lanes.stack import Stack, UnsuitedError, Weights
from worker.engine.plan import WEIGHTS, Plan, derived_seed, make_plan
from worker.engine.randomness import RandomStream
from worker.tasks import Data

CPU = torch.device("cpu")


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """`step` updates have been made; `stop` is the step after which something is reported next."""

    job: Job
    plan: Plan
    stack: Stack
    weights: Weights
    numbers: NDArray[np.float64]
    stops: Iterator[int]
    stop: int = 0
    step: int = 0
    since_look: int = 0
    epoch_sum: float = 0.0
    epoch_count: int = 0
    values: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.stop = next(self.stops)

    @property
    def position(self) -> tuple[int, int, int]:
        """Seed, epoch and place in it: lanes in the same position see the same batch."""
        return self.job.seed, *divmod(self.step, self.plan.steps_per_epoch)

    def look(self, total: float, first: float) -> str | None:
        """Take in the sum of the losses since the last look; how it shows when training has diverged."""
        mean = total / self.since_look
        self.epoch_sum += total
        self.epoch_count += self.since_look
        self.since_look = 0
        self.values = {"train_loss": mean}
        return divergence.of_loss(mean, first, self.step)

    def count(self, steps: int) -> None:
        """So many updates were made."""
        if steps and self.step % self.plan.steps_per_epoch == 0:
            self.epoch_sum, self.epoch_count = 0.0, 0
        self.step += steps
        self.since_look += steps

    def final(self) -> dict[str, float]:
        """The last values, with the training loss of the epoch so far."""
        return self.values | {"train_loss": self.epoch_sum / self.epoch_count}


def alike(one: Job, other: Job) -> bool:
    """Whether two jobs can be lanes of one array, as far as a look at them tells."""
    return _common(one) == _common(other)


def _common(job: Job) -> tuple[object, ...]:
    return job.task, job.batch_size, job.label_smoothing, rules.kind(job.optimizer)


def prepare(job: Job, data: Data, convert: Callable[[nn.Module], tuple[Stack, Weights]]) -> Row:
    """A row before its first update, with the weights that solo draws. Raises UnsuitedError, or what solo would."""
    plan = make_plan(job, len(data.train))
    moments = rules.momenta(job.optimizer, plan)
    if job.optimizer.name in {"sgd", "rmsprop"} and moments.any() and not moments.all():
        raise UnsuitedError("the momentum passes through 0, where torch.optim holds its buffer still")
    # torch's own optimizer says which numbers it takes.
    optimizers.build(job.optimizer, [nn.Parameter(torch.zeros(1))], lr=float(plan.lr[0]), momentum=float(moments[0]))
    with RandomStream(derived_seed(job.seed, WEIGHTS), CPU).active():
        stack, weights = convert(job.task.model())
    return Row(
        job=job,
        plan=plan,
        stack=stack,
        weights=weights,
        numbers=rules.table(job.optimizer, plan),
        stops=plan.stops(),
    )


def flat(tensors: tuple[Tensor, ...], spare: int) -> Tensor:
    """All of them as one vector, in the order of the slots, and so many zeros behind them."""
    return torch.cat([*(tensor.reshape(-1) for tensor in tensors), torch.zeros(spare)])
