"""What runs through a batched model, and where in it the lanes are."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from torch import Tensor

from worker.engine.dropout import Draws


class Layout(Enum):
    """Where the lanes are. SHARED: [B, ...], the same for all. STACKED: [K, B, ...]. CHANNELS: [B, K*C, ...]."""

    SHARED = "shared"
    STACKED = "stacked"
    CHANNELS = "channels"


class Flow(NamedTuple):
    """What runs through the layers."""

    value: Tensor
    layout: Layout


class State(NamedTuple):
    """Parameters and buffers by slot, each stacked [K, ...]; buffers are updated in place when training.

    `draws`: the masks of this update.
    """

    parameters: Sequence[Tensor]
    buffers: Sequence[Tensor]
    lanes: int
    training: bool
    draws: Draws


class Layer(Protocol):
    """A frozen value that is equal for equal architectures; its slots index into the state.

    It computes all K lanes at once, without ever mixing two of them.
    """

    def __call__(self, flow: Flow, state: State) -> Flow: ...


def shared(inputs: Tensor) -> Flow:
    """A batch [B, ...] that all lanes see."""
    return Flow(inputs, Layout.SHARED)


def own(inputs: Tensor) -> Flow:
    """A batch for each lane, [K, B, ...]."""
    return Flow(inputs, Layout.STACKED)


def stacked(flow: Flow, lanes: int) -> Tensor:
    """As [K, B, ...]."""
    value, layout = flow
    if layout is Layout.SHARED:
        return value.unsqueeze(0).expand(lanes, *value.shape)
    if layout is Layout.CHANNELS:
        return value.view(len(value), lanes, -1, *value.shape[2:]).transpose(0, 1)
    return value


def channels(flow: Flow, lanes: int) -> Tensor:
    """As [B, K*C, ...]."""
    value, layout = flow
    if layout is Layout.SHARED:
        return value.repeat(1, lanes, *(1 for _ in value.shape[2:]))
    if layout is Layout.STACKED:
        return value.transpose(0, 1).flatten(1, 2)
    return value
