"""What the lanes of an array are shown: examples, and the luck of their augmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from worker.engine.augment import DRAWS, Augment
from worker.engine.job import Job
from worker.engine.lanes.row import Row
from worker.engine.plan import epoch_luck, epoch_order
from worker.tasks import Split

Place: TypeAlias = tuple[int, int]
"""Seed and epoch."""


class Batch(NamedTuple):
    """Of update `step`: the examples' rows [B], the same for all lanes, or [K, B]; and their luck [..., DRAWS]."""

    step: int
    rows: Tensor
    luck: Tensor | None

    @property
    def shared(self) -> bool:
        return self.rows.dim() == 1


class Feed:
    """Order and luck of the epochs that the lanes are in, on the device."""

    def __init__(self, job: Job, train: Split, device: torch.device, augment: Augment | None) -> None:
        self._size, self._train, self._device, self._augment = job.batch_size, train, device, augment
        self._orders: dict[Place, Tensor] = {}
        self._lucks: dict[Place, Tensor] = {}

    def ahead(self, rows: Sequence[Row], steps: int) -> list[Batch]:
        """The next steps of these rows, all of one epoch each; one batch for all of them when all are in one place.

        Where images are resized, the rows are at steps of one size.
        """
        positions = [row.position for row in rows]
        places = {(seed, epoch) for seed, epoch, _ in positions}
        examples = len(self._train)
        orders = self._orders = self._kept(self._orders, places, lambda place: epoch_order(*place, examples))
        chosen, first = _cut(orders, positions, self._size, steps), rows[0].step
        if self._augment is None:
            return [Batch(first + index, one, None) for index, one in enumerate(chosen)]
        lucks = self._lucks = self._kept(self._lucks, places, lambda place: epoch_luck(*place, examples, DRAWS))
        pairs = zip(chosen, _cut(lucks, positions, self._size, steps), strict=True)
        return [Batch(first + index, *pair) for index, pair in enumerate(pairs)]

    def examples(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Inputs, as they are trained on, and targets."""
        inputs, targets = self._train.inputs[batch.rows], self._train.targets[batch.rows]
        if self._augment is not None and batch.luck is not None:
            inputs = self._augment(inputs, batch.luck, batch.step)
        return inputs, targets

    def _kept(
        self, known: dict[Place, Tensor], needed: set[Place], make: Callable[[Place], Tensor]
    ) -> dict[Place, Tensor]:
        return {place: known[place] if place in known else make(place).to(self._device) for place in needed}


def _cut(
    tables: dict[Place, Tensor], positions: Sequence[tuple[int, int, int]], size: int, steps: int
) -> Sequence[Tensor]:
    """What each step reads of the tables, [B, ...] or [K, B, ...]."""
    found: dict[tuple[int, int, int], Tensor] = {}
    for seed, epoch, at in positions:
        part = tables[seed, epoch][at * size : (at + steps) * size]
        found[seed, epoch, at] = part.view(steps, size, *part.shape[1:])
    if len(found) == 1:
        return found[positions[0]].unbind()
    return torch.stack([found[position] for position in positions], dim=1).unbind()
