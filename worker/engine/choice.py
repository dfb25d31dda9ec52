"""Which engine a worker runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import torch

from worker.engine.engine import Engine, Steering
from worker.engine.events import Event
from worker.engine.job import Job
from worker.engine.lanes import Lanes, Tree
from worker.engine.lanes.recording import cuda_graph
from worker.engine.lanes.trunks import Trunks
from worker.engine.solo import Solo

EngineName: TypeAlias = Literal["auto", "solo", "lanes", "tree"]


class AsBegun:
    """Solo, but for jobs that lanes have begun: these they end, since another engine rounds otherwise."""

    name = Solo.name
    capacity = Solo.capacity

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._solo, self._lanes = Solo(device), Lanes(device, lanes=1)

    def run(self, jobs: Iterable[Job | None], steering: Steering) -> Iterator[Event]:
        """See `worker.engine.engine.Engine`."""
        for job in filter(None, jobs):
            begun = job.resume is not None and job.resume.engine == self._lanes.name
            yield from (self._lanes if begun else self._solo).run([job], steering)


def engine(
    name: EngineName,
    device: torch.device,
    *,
    lanes: int | None = None,
    trunks: Trunks | None = None,
    graphs: bool = False,
) -> Engine:
    """`auto` is tree with as many lanes as a short trial finds fastest, or `lanes`; what cannot be one, or is faster
    alone, is trained alone. `graphs`: updates of lanes as CUDA graphs. Raises ValueError for what the engine does not
    have.
    """
    if graphs and (device.type != "cuda" or name == "solo"):
        raise ValueError(f"cuda-graphs: need lanes on a CUDA device, got the engine {name} on {device}")
    record = cuda_graph if graphs else None
    if trunks is not None and name in {"solo", "lanes"}:
        raise ValueError(f"keep-trunks: only the engine tree has any, got {name}")
    if name == "solo":
        if lanes is not None:
            raise ValueError(f"lanes: the engine solo trains one trial at a time, got {lanes}")
        return AsBegun(device)
    if name == "lanes":
        return Lanes(device, lanes=lanes, record=record)
    return Tree(device, lanes=lanes, trunks=trunks, probing=name == "auto" and lanes is None, record=record)
