"""Updates of an array that are recorded once and replayed: on CUDA as a graph, which saves launching every kernel.

What a recording reads lies in tensors of its own, into which batch and numbers are copied before each replay; what it
writes is the array's state, which therefore stays where it is as long as the number of lanes does.

`cuda_graph` was written from PyTorch's documentation and has never been run; all else is tested with a recording that
runs the update again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from typing import TypeAlias

import torch
from torch import Tensor

from worker.engine.dropout import Draws
from worker.engine.lanes.feed import Batch

logger = logging.getLogger(__name__)

WARM = 3
"""Updates that are made before one is recorded: libraries choose kernels and workspaces in the first ones."""

Update: TypeAlias = Callable[[Batch, Tensor, Draws], Tensor]
Replay: TypeAlias = Callable[[], Tensor]
Record: TypeAlias = Callable[[Callable[[], Tensor]], Replay]
"""`record(work)` gives what does the same to the same tensors each time; it may run `work`, but without effect."""


def cuda_graph(work: Callable[[], Tensor]) -> Replay:
    """See `Record`: the kernels of `work` as one CUDA graph. Raises RuntimeError for what cannot be in one."""
    graph = torch.cuda.CUDAGraph()
    # Of this thread alone: the threads that talk to the service must not end a capture.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        losses = work()

    def replay() -> Tensor:
        graph.replay()
        return losses

    return replay


class Recorded:
    """The update of one number of lanes, recorded for each shape of its batches. See `Update`."""

    def __init__(self, update: Update, record: Record, device: torch.device) -> None:
        self._update, self._record, self._device = update, record, device
        self._made: Counter[Hashable] = Counter()
        self._recordings: dict[Hashable, _Recording] = {}
        self._refused: str | None = None

    def __call__(self, batch: Batch, numbers: Tensor, draws: Draws) -> Tensor:
        if self._refused is not None:
            return self._update(batch, numbers, draws)
        shape = batch.rows.shape, batch.height
        if shape not in self._recordings and self._made[shape] >= WARM:
            self._begin(shape, batch, numbers, draws)
        if shape in self._recordings:
            return self._recordings[shape](batch, numbers)
        self._made[shape] += 1
        losses = self._warmed(batch, numbers, draws)
        if draws.drawn:
            self._refuse("dropout draws its masks from seeds that the host sets")
        return losses

    def _begin(self, shape: Hashable, batch: Batch, numbers: Tensor, draws: Draws) -> None:
        try:
            self._recordings[shape] = _Recording(self._update, self._record, batch, numbers, draws)
        except RuntimeError as error:  # where something waits for the device, or there is no memory
            self._refuse(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")

    def _refuse(self, reason: str) -> None:
        self._refused = reason
        logger.warning("updates are not recorded: %s", reason)

    def _warmed(self, batch: Batch, numbers: Tensor, draws: Draws) -> Tensor:
        """On CUDA beside the main stream, as a capture is."""
        if self._device.type != "cuda":
            return self._update(batch, numbers, draws)
        main, beside = torch.cuda.current_stream(self._device), torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        beside.wait_stream(main)
        with torch.cuda.stream(beside):
            losses = self._update(batch, numbers, draws)
        main.wait_stream(beside)
        losses.record_stream(main)
        return losses


class _Recording:
    """A recorded update and the tensors that it reads."""

    def __init__(self, update: Update, record: Record, batch: Batch, numbers: Tensor, draws: Draws) -> None:
        luck = None if batch.luck is None else batch.luck.clone()
        self._batch, self._numbers = Batch(batch.rows.clone(), luck, batch.height), numbers.clone()
        self._replay = record(lambda: update(self._batch, self._numbers, draws))

    def __call__(self, batch: Batch, numbers: Tensor) -> Tensor:
        self._batch.rows.copy_(batch.rows)
        if self._batch.luck is not None and batch.luck is not None:
            self._batch.luck.copy_(batch.luck)
        self._numbers.copy_(numbers)
        return self._replay().clone()
