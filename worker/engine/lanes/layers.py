"""The layers of torch.nn for K lanes at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.channels_last import laid
from worker.engine.lanes.affine import affine
from worker.engine.lanes.flow import Flow, Layout, State, channels, own, stacked

Pair: TypeAlias = int | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Flatten:
    """All dimensions of an example into one."""

    def __call__(self, flow: Flow, state: State) -> Flow:
        if flow.layout is Layout.SHARED:
            return Flow(flow.value.flatten(1), Layout.SHARED)
        return Flow(stacked(flow, state.lanes).flatten(2), Layout.STACKED)


@dataclass(frozen=True, slots=True)
class Linear:
    """One batch of products; the weight is [K, outputs, inputs], as torch has it."""

    weight: int
    bias: int | None

    def __call__(self, flow: Flow, state: State) -> Flow:
        value = stacked(flow, state.lanes)
        bias = None if self.bias is None else state.parameters[self.bias]
        out = affine(value.flatten(1, -2), state.parameters[self.weight], bias)
        return Flow(out.reshape(*value.shape[:-1], -1) if value.dim() > 3 else out, Layout.STACKED)


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
class Dropout:
    """Each lane's own masks, or one for all lanes at the same place of the same seed."""

    number: int
    p: float

    def __call__(self, flow: Flow, state: State) -> Flow:
        if not state.training or self.p == 0:
            return flow
        value = stacked(flow, state.lanes)
        masks = state.draws.mask(self.number, self.p, value[0])
        if flow.layout is Layout.SHARED and len(masks) == 1:
            return Flow(flow.value * masks[0], Layout.SHARED)
        out = value * masks
        # Elementwise, so that it lies in memory as the channels did, and this is a view.
        return Flow(out.transpose(0, 1).flatten(1, 2), flow.layout) if flow.layout is Layout.CHANNELS else own(out)


@dataclass(frozen=True, slots=True)
class Conv2d:
    """Dense over a batch that all lanes share (the first convolution), else grouped by lane.

    Dense over a shared batch rounds as each lane alone does, and grouped does not. So on a CPU, where a lane's bits are
    not to depend on its neighbours, the first one goes lane by lane over batches of their own.
    """

    weight: int
    bias: int | None
    stride: Pair
    padding: str | Pair
    dilation: Pair
    groups: int

    def __call__(self, flow: Flow, state: State) -> Flow:
        if flow.layout is Layout.STACKED and self.groups == 1 and flow.value.device.type == "cpu":
            return Flow(torch.cat(self._each(flow.value, state), dim=1), Layout.CHANNELS)
        dense = flow.layout is Layout.SHARED and self.groups == 1
        bias = None if self.bias is None else state.parameters[self.bias].flatten()
        out = functional.conv2d(
            laid(flow.value if dense else channels(flow, state.lanes)),
            state.parameters[self.weight].flatten(0, 1),
            bias,
            self.stride,
            self.padding,
            self.dilation,
            1 if dense else state.lanes * self.groups,
        )
        return Flow(out, Layout.CHANNELS)

    def _each(self, values: Tensor, state: State) -> list[Tensor]:
        weights = state.parameters[self.weight].unbind()
        biases = [None] * state.lanes if self.bias is None else state.parameters[self.bias].unbind()
        return [
            functional.conv2d(laid(value), weight, bias, self.stride, self.padding, self.dilation)
            for value, weight, bias in zip(values, weights, biases, strict=True)
        ]


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
class GroupNorm:
    """Over K*G groups of channels."""

    weight: int | None
    bias: int | None
    groups: int
    eps: float

    def __call__(self, flow: Flow, state: State) -> Flow:
        out = functional.group_norm(
            channels(flow, state.lanes),
            state.lanes * self.groups,
            None if self.weight is None else state.parameters[self.weight].flatten(),
            None if self.bias is None else state.parameters[self.bias].flatten(),
            self.eps,
        )
        return Flow(out, Layout.CHANNELS)


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Over the last dimensions of an example, each lane with its own scale and shift."""

    weight: int | None
    bias: int | None
    shape: tuple[int, ...]
    eps: float

    def __call__(self, flow: Flow, state: State) -> Flow:
        out = functional.layer_norm(stacked(flow, state.lanes), self.shape, eps=self.eps)
        wide = (state.lanes, *(1 for _ in range(out.dim() - 1 - len(self.shape))), *self.shape)
        weight = None if self.weight is None else state.parameters[self.weight].view(wide)
        bias = None if self.bias is None else state.parameters[self.bias].view(wide)
        if weight is not None:
            out = out * weight if bias is None else torch.addcmul(bias, out, weight)
        return Flow(out, Layout.STACKED)


@dataclass(frozen=True, slots=True)
class Embedding:
    """One table of all lanes' rows, each lane reading its own part."""

    weight: int

    def __call__(self, flow: Flow, state: State) -> Flow:
        table = state.parameters[self.weight]
        tokens = stacked(flow, state.lanes)
        first = torch.arange(state.lanes, device=tokens.device) * table.shape[1]
        rows = tokens + first.view(-1, *(1 for _ in tokens.shape[1:]))
        return Flow(functional.embedding(rows, table.flatten(0, 1)), Layout.STACKED)


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
