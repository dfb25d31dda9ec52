"""The layers of a batched model: each computes all K lanes at once, without ever mixing two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Pair: TypeAlias = int | tuple[int, ...]


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
    """Parameters and buffers by slot, each stacked [K, ...]; buffers are updated in place when training."""

    parameters: Sequence[Tensor]
    buffers: Sequence[Tensor]
    lanes: int
    training: bool


class Layer(Protocol):
    """A frozen value that is equal for equal architectures; its slots index into the state."""

    def __call__(self, flow: Flow, state: State) -> Flow: ...


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


@dataclass(frozen=True, slots=True)
class Flatten:
    """All dimensions of an example into one."""

    def __call__(self, flow: Flow, state: State) -> Flow:
        if flow.layout is Layout.SHARED:
            return Flow(flow.value.flatten(1), Layout.SHARED)
        return Flow(stacked(flow, state.lanes).flatten(2), Layout.STACKED)


@dataclass(frozen=True, slots=True)
class Linear:
    """One `baddbmm`; the weight is [K, inputs, outputs], so that its gradient is contiguous."""

    weight: int
    bias: int | None

    def __call__(self, flow: Flow, state: State) -> Flow:
        value = stacked(flow, state.lanes)
        rows = value.flatten(1, -2)
        weight = state.parameters[self.weight]
        bias = None if self.bias is None else state.parameters[self.bias].unsqueeze(1)
        out = rows.bmm(weight) if bias is None else torch.baddbmm(bias, rows, weight)
        return Flow(out.view(*value.shape[:-1], -1), Layout.STACKED)


@dataclass(frozen=True, slots=True)
class Elementwise:
    """An activation, whatever the layout."""

    function: Callable[[Tensor], Tensor]

    def __call__(self, flow: Flow, state: State) -> Flow:
        return Flow(self.function(flow.value), flow.layout)


@dataclass(frozen=True, slots=True)
class Gelu:
    """GELU, exact or by tanh."""

    approximate: str

    def __call__(self, flow: Flow, state: State) -> Flow:
        return Flow(functional.gelu(flow.value, approximate=self.approximate), flow.layout)


@dataclass(frozen=True, slots=True)
class Conv2d:
    """Dense over a batch that all lanes share (the first convolution), else grouped by lane."""

    weight: int
    bias: int | None
    stride: Pair
    padding: str | Pair
    dilation: Pair
    groups: int

    def __call__(self, flow: Flow, state: State) -> Flow:
        dense = flow.layout is Layout.SHARED and self.groups == 1
        bias = None if self.bias is None else state.parameters[self.bias].flatten()
        out = functional.conv2d(
            flow.value if dense else channels(flow, state.lanes),
            state.parameters[self.weight].flatten(0, 1),
            bias,
            self.stride,
            self.padding,
            self.dilation,
            1 if dense else state.lanes * self.groups,
        )
        return Flow(out, Layout.CHANNELS)


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Over K*C channels, hence with statistics of each lane's own."""

    weight: int | None
    bias: int | None
    mean: int
    variance: int
    momentum: float
    eps: float

    def __call__(self, flow: Flow, state: State) -> Flow:
        out = functional.batch_norm(
            channels(flow, state.lanes),
            # Flat views, not copies: batch_norm writes the running statistics through them.
            state.buffers[self.mean].view(-1),
            state.buffers[self.variance].view(-1),
            None if self.weight is None else state.parameters[self.weight].flatten(),
            None if self.bias is None else state.parameters[self.bias].flatten(),
            state.training,
            self.momentum,
            self.eps,
        )
        return Flow(out, Layout.CHANNELS)


@dataclass(frozen=True, slots=True)
class MaxPool2d:
    """Channel by channel, so that lanes need no care."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    ceil_mode: bool

    def __call__(self, flow: Flow, state: State) -> Flow:
        return _by_channel(
            flow,
            state,
            lambda value: functional.max_pool2d(
                value, self.kernel, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode
            ),
        )


@dataclass(frozen=True, slots=True)
class AvgPool2d:
    """Channel by channel."""

    kernel: Pair
    stride: Pair
    padding: Pair
    ceil_mode: bool
    count_include_pad: bool
    divisor: int | None

    def __call__(self, flow: Flow, state: State) -> Flow:
        options = (self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor)
        return _by_channel(flow, state, lambda value: functional.avg_pool2d(value, *options))


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool2d:
    """Channel by channel."""

    size: int | tuple[int | None, int | None]

    def __call__(self, flow: Flow, state: State) -> Flow:
        return _by_channel(flow, state, lambda value: functional.adaptive_avg_pool2d(value, self.size))


def _by_channel(flow: Flow, state: State, pool: Callable[[Tensor], Tensor]) -> Flow:
    if flow.layout is Layout.SHARED:
        return Flow(pool(flow.value), Layout.SHARED)
    return Flow(pool(channels(flow, state.lanes)), Layout.CHANNELS)
