"""A batched model as the rest of the engine sees it, whichever way it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from worker.engine.lanes.composites import through
from worker.engine.lanes.flow import Flow, Layer, State, stacked


class UnsuitedError(ValueError):
    """A job that this engine cannot train, and why."""


class Stack(Protocol):
    """A batched model: a value, equal for equal architectures. The shapes are of one lane's part of each slot."""

    @property
    def parameters(self) -> tuple[torch.Size, ...]: ...

    @property
    def buffers(self) -> tuple[torch.Size, ...]: ...

    def __call__(self, inputs: Flow, state: State) -> Tensor:
        """Outputs [K, B, ...]."""
        ...


@dataclass(frozen=True, slots=True)
class Layered:
    """See `Stack`: a model of layers that this engine knows."""

    layers: tuple[Layer, ...]
    parameters: tuple[torch.Size, ...]
    buffers: tuple[torch.Size, ...]

    def __call__(self, inputs: Flow, state: State) -> Tensor:
        return stacked(through(self.layers, inputs, state), state.lanes)


class Weights(NamedTuple):
    """One lane's values, by slot, in the orientation of the stack; `origins`: the model's own parameters."""

    parameters: tuple[Tensor, ...]
    buffers: tuple[Tensor, ...]
    origins: tuple[Tensor, ...]
