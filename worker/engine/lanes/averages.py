"""Averages and ensembles of the rows of an array: state of theirs that no update reads, evaluated as `solo` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worker.engine.averages import Predict, predictors
from worker.engine.lanes.row import Member, Row


class Averages:
    """`slots` are the last ones of the array's state, [K, ...]: the parameters of each average, of each member of the
    ensemble, and then the buffers of each member.
    """

    def __init__(self, first: Member) -> None:
        """`first`: of the jobs of the array, which have as many averages and members."""
        self._moving, self._members = len(first.taking.names), first.taking.members
        self.slots: Sequence[Tensor] = ()
        self._due: NDArray[np.bool_] = np.zeros((0, 0, 0), dtype=bool)
        self._shares = torch.zeros(0)

    def fresh(self, parameters: Tensor, buffers: Sequence[Tensor]) -> list[Tensor]:
        """The slots of a row before its first update: there is something in them, but nothing that counts."""
        return [parameters] * (self._moving + self._members) + [*buffers] * self._members

    def ready(self, rows: Sequence[Row], steps: int) -> None:
        """So many updates of these rows are about to be made."""
        if self.slots:
            shares = np.stack([row.some.shares[row.step : row.step + steps] for row in rows], axis=2)
            self._due, like = shares > 0, self.slots[0]
            self._shares = torch.from_numpy(shares).to(like.device, like.dtype)

    @torch.no_grad()
    def take(self, index: int, parameters: Tensor, buffers: Sequence[Tensor]) -> None:
        """Take in the rows after update `index` of those."""
        if not self.slots:
            return
        for number, due in enumerate(self._due[index]):
            # All at once where all are due; a lane that is not due is not touched, not even by a product with 0.
            places = [slice(len(due))] if due.all() else [slice(lane, lane + 1) for lane in np.flatnonzero(due)]
            for place in places:
                self._take(number, place, self._shares[index, number, place], parameters, buffers)

    def _take(self, number: int, place: slice, shares: Tensor, parameters: Tensor, buffers: Sequence[Tensor]) -> None:
        if number < self._moving:
            self.slots[number][place].lerp_(parameters[place], shares.unsqueeze(1))
            return
        self.slots[number][place].copy_(parameters[place])
        for slot, buffer in zip(self._buffers(number - self._moving, len(buffers)), buffers, strict=True):
            slot[place].copy_(buffer[place])

    def _buffers(self, member: int, count: int) -> Sequence[Tensor]:
        start = self._moving + self._members + member * count
        return self.slots[start : start + count]

    def predictors(
        self,
        member: Member,
        place: int,
        views: Callable[[Tensor], list[Tensor]],
        buffers: Sequence[Tensor],
        batches: Callable[[], Iterable[Tensor]],
    ) -> Iterator[tuple[str, Predict]]:
        """See `worker.engine.averages.predictors`: of the job `member` in lane `place`, as models of its own.

        `views` takes parameters [K, P] apart into their slots.
        """

        def model(slot: int, held: Sequence[Tensor]) -> nn.Module:
            parameters = views(self.slots[slot][place : place + 1])
            return member.plain([one[0] for one in parameters], [one[place] for one in held])

        taking, count = member.taking, len(buffers)
        averages = ((name, model(slot, buffers)) for slot, name in enumerate(taking.names))
        members = [model(self._moving + n, self._buffers(n, count)) for n in range(len(taking.ends))]
        return predictors(member.job, member.horizon.total_steps, averages, members, batches)
