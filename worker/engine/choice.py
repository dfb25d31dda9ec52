"""Which engine a worker runs."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

from worker.engine.engine import Engine
from worker.engine.lanes import Lanes, Tree
from worker.engine.lanes.trunks import Trunks
from worker.engine.solo import Solo

EngineName: TypeAlias = Literal["auto", "solo", "lanes", "tree"]


def engine(name: EngineName, device: torch.device, *, lanes: int | None = None, trunks: Trunks | None = None) -> Engine:
    """`auto` is tree with as many lanes as a short trial finds fastest, or `lanes`; what cannot be one, or is faster
    alone, is trained alone. Raises ValueError for what the engine does not have.
    """
    if trunks is not None and name in {"solo", "lanes"}:
        raise ValueError(f"keep-trunks: only the engine tree has any, got {name}")
    if name == "solo":
        if lanes is not None:
            raise ValueError(f"lanes: the engine solo trains one trial at a time, got {lanes}")
        return Solo(device)
    if name == "lanes":
        return Lanes(device, lanes=lanes)
    return Tree(device, lanes=lanes, trunks=trunks, probing=name == "auto" and lanes is None)
