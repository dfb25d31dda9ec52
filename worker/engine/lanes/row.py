"""A trajectory in training and the jobs that share it: position, tables, and what has been measured of each job.

A row's whole state is its `step`, the `Tally` of each of its members, and its column of the array (`Array.column`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schedules.trajectories import Node, Tree, grow
from worker.engine import depth, divergence, dropout, optimizers
from worker.engine.augment import augment, check_sizes
from worker.engine.averaging_plan import Taking, taking
from worker.engine.job import Job
from worker.engine.lanes import rules
from worker.engine.lanes.likeness import everything_else
from worker.engine.lanes.stack import Stack, UnsuitedError, Weights
from worker.engine.plan import WEIGHTS, Plan, derived_seed, make_plan, mask_seed
from worker.engine.randomness import RandomStream
from worker.tasks import Data, Task

CPU = torch.device("cpu")

Plain: TypeAlias = Callable[[Sequence[Tensor], Sequence[Tensor]], nn.Module]
"""`plain(parameters, buffers)`: a model of its own with these values of its slots, on their device."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has been measured of a job. Losses, each the mean over its batch, are added up one by one in float64: no sum
    depends on where the computation was interrupted, or on who shared it.
    """

    first: float = 0.0
    total: float = 0.0
    count: int = 0
    epoch_total: float = 0.0
    epoch_count: int = 0
    values: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class Past:
    """The loss of each update of a row since step 0, and the validation metrics at epochs' ends by step; `marks` are
    the steps at which its state may be worth keeping, `unkept_s` what computing it has cost since it last was.
    """

    marks: tuple[int, ...]
    losses: list[float] = field(default_factory=list)
    validations: dict[int, dict[str, float]] = field(default_factory=dict)
    unkept_s: float = 0.0

    def copy(self) -> Past:
        return Past(self.marks, list(self.losses), dict(self.validations), self.unkept_s)


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    """A job on its way. `numbers[step]` is what its update `step` reads, and `factors` are by how much the rate of each
    slot is lower than that of the last layer; `shares[step]` is what averages take in after it. It reports next after
    step `stop`, and its last snapshot is of `saved`. `plain` makes its model with other values of the slots.
    """

    job: Job
    horizon: Plan
    stack: Stack
    weights: Weights
    plain: Plain
    numbers: NDArray[np.float64]
    taking: Taking
    shares: NDArray[np.float64] = field(init=False)
    factors: Sequence[float]
    mask_seed: int
    stop: int = 0
    tally: Tally = field(default_factory=Tally)
    begun: bool = False
    saved: int = 0

    def __post_init__(self) -> None:
        self.stop = self.horizon.stop_after(0)
        self.shares = self.taking.table

    @property
    def trajectory(self) -> NDArray[np.float64]:
        """All that decides on its state from step to step: jobs part where these numbers first differ, [T, n]."""
        return np.hstack([self.numbers, self.shares]) if self.shares.size else self.numbers

    def take(self, step: int, losses: Sequence[float]) -> None:
        """The losses of the updates `step`, `step` + 1, ..., all of one epoch."""
        tally = self.tally
        if losses and step == 0:
            tally.first = losses[0]
        if losses and step % self.horizon.steps_per_epoch == 0:
            tally.epoch_total, tally.epoch_count = 0.0, 0
        for loss in losses:
            tally.total += loss
        tally.count += len(losses)

    def look(self) -> str | None:
        """Close the sum of losses at `stop`; how it shows when training has diverged."""
        tally = self.tally
        mean = tally.total / tally.count
        tally.values = {"train_loss": mean}
        tally.epoch_total += tally.total
        tally.epoch_count += tally.count
        tally.total, tally.count = 0.0, 0
        return divergence.of_loss(mean, tally.first, self.stop)

    def measured(self, values: Mapping[str, float]) -> str | None:
        """Take in validation metrics at `stop`; how it shows in them when training has diverged."""
        self.tally.values |= values
        return divergence.of_values(self.tally.values, self.stop)

    def go_on(self) -> None:
        """To the next stop."""
        self.stop = self.horizon.stop_after(self.stop)

    @property
    def finishes(self) -> bool:
        """Whether the next stop is the last."""
        return self.stop == self.horizon.total_steps

    def final(self) -> dict[str, float]:
        """The last values, with the training loss of the epoch so far."""
        return self.tally.values | {"train_loss": self.tally.epoch_total / self.tally.epoch_count}


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """The part of a trajectory that is node `place` of the tree. `members` are those that are still trained, by their
    places in the tree; `step` updates have been made. `past`: what was measured since step 0, where that is kept.
    """

    tree: Tree
    place: int
    members: dict[int, Member]
    step: int = 0
    past: Past | None = None

    @property
    def node(self) -> Node:
        return self.tree.nodes[self.place]

    @property
    def some(self) -> Member:
        """Any of them: as long as they are together they see the same data and read the same numbers."""
        return next(iter(self.members.values()))

    @property
    def position(self) -> tuple[int, int, int]:
        """Seed, epoch and place in it: rows in the same position see the same batch."""
        some = self.some
        return some.job.seed, *divmod(self.step, some.horizon.steps_per_epoch)

    @property
    def stop(self) -> int:
        """The step after which a member has something to report, members part, or a trunk may be worth keeping."""
        marks = () if self.past is None else self.past.marks
        mark = next((mark for mark in marks if mark > self.step), self.node.stop)
        return min(self.node.stop, mark, *(member.stop for member in self.members.values()))

    @property
    def remaining(self) -> int:
        """Updates from here to the ends of all that grows from it."""
        return self.node.row_steps - (self.step - self.node.start)

    def due(self) -> list[Member]:
        return [member for member in self.members.values() if member.stop == self.step]

    def advance(self, losses: Sequence[float]) -> None:
        """So many updates were made, with these losses."""
        for member in self.members.values():
            member.take(self.step, losses)
        self.step += len(losses)
        if self.past is not None:
            self.past.losses.extend(losses)

    def charge(self, seconds: float) -> None:
        """The time of what members share is split over them."""
        for member in self.members.values():
            member.tally.seconds += seconds / len(self.members)
        if self.past is not None:
            self.past.unkept_s += seconds

    def leave(self, gone: Sequence[Member]) -> None:
        """These are trained no further."""
        self.members = {number: member for number, member in self.members.items() if member not in gone}

    def heirs(self) -> list[Row]:
        """The rows that carry it on: itself, or where members part one for each branch that has members left."""
        if self.step < self.node.stop:
            return [self] if self.members else []
        parts = [
            (place, {number: self.members[number] for number in node.members if number in self.members})
            for place, node in ((place, self.tree.nodes[place]) for place in self.node.branches)
        ]
        return [
            Row(tree=self.tree, place=place, members=part, step=self.step, past=self.past and self.past.copy())
            for place, part in parts
            if part
        ]


class Beginning(NamedTuple):
    """The step after which a job is trained here, and the name of the state that it has then."""

    step: int = 0
    state: str = ""


def plant(members: Sequence[Member], begins: Mapping[Member, Beginning], *, share: bool) -> list[Row]:
    """The rows from which these jobs are reached; with `share` those alike in state and updates begin as one.

    Who is not in `begins` begins at the beginning.
    """
    starts = [begins.get(member, Beginning()) for member in members]
    tables = [member.trajectory for member in members]
    keys: list[Hashable] = [
        # Equal numbers up to the step: no row parts before it.
        (start, table[: start.step].tobytes(), everything_else(member.job)) if share else number
        for number, (member, start, table) in enumerate(zip(members, starts, tables, strict=True))
    ]
    tree = grow(tables, keys)
    rows = []
    for place in tree.roots:
        joined = {number: members[number] for number in tree.nodes[place].members}
        rows.append(Row(tree=tree, place=place, members=joined, step=starts[next(iter(joined))].step))
    return rows


def prepare(job: Job, data: Data, convert: Callable[[nn.Module], tuple[Stack, Weights]]) -> Member:
    """A job before its first update, with the weights that solo draws. Raises UnsuitedError, or what solo would."""
    plan = make_plan(job, len(data.train))
    treated = augment(job, data.train.inputs, plan)
    moments = rules.momenta(job.optimizer, plan)
    if job.optimizer.name in {"sgd", "rmsprop"} and moments.any() and not moments.all():
        raise UnsuitedError("the momentum passes through 0, where torch.optim holds its buffer still")
    model, stack, weights = _drawn(job.task, job.seed, convert)
    check_sizes(model, treated, data.train)
    # torch's own optimizer says which numbers it takes.
    groups = optimizers.groups(job.optimizer, model)
    optimizers.build(job.optimizer, groups, lr=float(plan.lr[0]), momentum=float(moments[0]))
    factors = depth.factors(model, job.optimizer.layer_decay)
    return Member(
        job=job,
        horizon=plan,
        stack=stack,
        weights=weights,
        plain=partial(_plain, model, convert),
        numbers=rules.table(job.optimizer, plan),
        taking=taking(job, plan),
        factors=[factors[origin] for origin in weights.origins],
        mask_seed=mask_seed(job),
    )


@lru_cache(maxsize=4)
def _drawn(
    task: Task, seed: int, convert: Callable[[nn.Module], tuple[Stack, Weights]]
) -> tuple[nn.Module, Stack, Weights]:
    """The model that solo draws; the trials of a study have few seeds, and nobody writes to what is remembered."""
    with RandomStream(derived_seed(seed, WEIGHTS), CPU).active():
        model = task.model()
    dropout.install(model)
    return model, *convert(model)


@torch.no_grad()
def _plain(
    drawn: nn.Module,
    convert: Callable[[nn.Module], tuple[Stack, Weights]],
    parameters: Sequence[Tensor],
    buffers: Sequence[Tensor],
) -> nn.Module:
    model = deepcopy(drawn).to(device=parameters[0].device, dtype=parameters[0].dtype)
    slots = convert(model)[1]
    for slot, value in zip((*slots.parameters, *slots.buffers), (*parameters, *buffers), strict=True):
        slot.copy_(value)  # a slot is a view of the model's own
    return model


def flat(tensors: tuple[Tensor, ...], spare: int) -> Tensor:
    """All of them as one vector, in the order of the slots, and so many zeros behind them."""
    return torch.cat([*(tensor.reshape(-1) for tensor in tensors), torch.zeros(spare)])
