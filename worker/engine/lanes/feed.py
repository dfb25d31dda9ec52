"""What the lanes of an array are shown: examples, and the luck of their augmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from worker.engine.augment import DRAWS, EVER, Augment
from worker.engine.job import Job
from worker.engine.lanes.row import Row
from worker.engine.plan import epoch_luck, epoch_order
from worker.tasks import Split

Place: TypeAlias = tuple[int, int]
"""Seed and epoch."""


class Batch(NamedTuple):
    """The examples' rows [B], the same for all lanes, or [K, B]; their luck [..., DRAWS], and the height they get."""

    rows: Tensor
    luck: Tensor | None = None
    height: int = 0

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

        Where images grow, the rows are at steps of one height, and no more than `even` steps are asked for.
        """
        positions = [row.position for row in rows]
        places = {(seed, epoch) for seed, epoch, _ in positions}
        examples = len(self._train)
        orders = self._orders = self._kept(self._orders, places, lambda place: epoch_order(*place, examples))
        chosen = _cut(orders, positions, self._size, steps)
        if self._augment is None:
            return [Batch(one) for one in chosen]
        lucks = self._lucks = self._kept(self._lucks, places, lambda place: epoch_luck(*place, examples, DRAWS))
        height, pairs = self.height(rows[0]), zip(chosen, _cut(lucks, positions, self._size, steps), strict=True)
        return [Batch(*pair, height) for pair in pairs]

    def height(self, row: Row) -> int:
        """Of the images that the row's next update reads; rows of one array differ in it only where images grow."""
        return 0 if self._augment is None else self._augment.height(row.step)

    def even(self, row: Row) -> int:
        """For how many updates that stays."""
        return EVER if self._augment is None else self._augment.even(row.step)

    def examples(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Inputs, as they are trained on, and targets."""
        inputs, targets = self._train.inputs[batch.rows], self._train.targets[batch.rows]
        if self._augment is not None and batch.luck is not None:
            inputs = self._augment(inputs, batch.luck, batch.height)
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
