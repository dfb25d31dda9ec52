"""What models are built of beyond single layers: residual branches, attention, patches and positions of tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.lanes.affine import affine
from worker.engine.lanes.flow import Flow, Layer, Layout, State, channels, stacked
from worker.engine.lanes.layers import Linear


def through(layers: tuple[Layer, ...], flow: Flow, state: State) -> Flow:
    """One layer after the other."""
    for layer in layers:
        flow = layer(flow, state)
    return flow


@dataclass(frozen=True, slots=True)
class Residual:
    """The sum of a branch and a shortcut; no layers: what came in."""

    branch: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()

    def __call__(self, flow: Flow, state: State) -> Flow:
        one, other = through(self.branch, flow, state), through(self.shortcut, flow, state)
        if one.layout is other.layout:
            return Flow(one.value + other.value, one.layout)
        if one.layout is Layout.CHANNELS:
            return Flow(one.value + channels(other, state.lanes), Layout.CHANNELS)
        return Flow(stacked(one, state.lanes) + stacked(other, state.lanes), Layout.STACKED)


@dataclass(frozen=True, slots=True)
class Subsample:
    """Every `stride`th pixel, and so many channels of zeros behind those of each lane."""

    stride: int
    padding: int

    def __call__(self, flow: Flow, state: State) -> Flow:
        value = channels(flow, state.lanes)
        if value.is_contiguous(memory_format=torch.channels_last):
            # Both as they are done to pixels that lie so; a slice's gradient would come in the usual order.
            pixels = functional.avg_pool2d(value, 1, self.stride).permute(0, 2, 3, 1)
            padded = functional.pad(pixels.reshape(*pixels.shape[:3], state.lanes, -1), (0, self.padding))
            return Flow(padded.flatten(3).permute(0, 3, 1, 2), Layout.CHANNELS)
        value = value[:, :, :: self.stride, :: self.stride]
        lanes = value.reshape(len(value), state.lanes, -1, *value.shape[2:])
        return Flow(functional.pad(lanes, (0, 0, 0, 0, 0, self.padding)).flatten(1, 2), Layout.CHANNELS)


@dataclass(frozen=True, slots=True)
class Patches:
    """A convolution whose kernel is its stride, [B, C, H, W] to [B, patches, features], as one product."""

    weight: int
    bias: int
    side: int

    def __call__(self, flow: Flow, state: State) -> Flow:
        value = flow.value if flow.layout is Layout.SHARED else stacked(flow, state.lanes)
        patches = self.rows(value)
        rows = stacked(Flow(patches, flow.layout), state.lanes).flatten(1, -2)
        out = affine(rows, state.parameters[self.weight], state.parameters[self.bias])
        return Flow(out.view(state.lanes, -1, patches.shape[-2], out.shape[-1]), Layout.STACKED)

    def rows(self, images: Tensor) -> Tensor:
        """[..., C, H, W] to [..., patches, C * side * side]."""
        *front, channel, height, width = images.shape
        high, wide = height // self.side, width // self.side
        cut = images.view(*front, channel, high, self.side, wide, self.side)
        return cut.movedim((-4, -2), (-5, -4)).reshape(*front, high * wide, -1)


@dataclass(frozen=True, slots=True)
class Positions:
    """A learned vector for each place in the sequence, added."""

    weight: int

    def __call__(self, flow: Flow, state: State) -> Flow:
        return Flow(stacked(flow, state.lanes) + state.parameters[self.weight].unsqueeze(1), Layout.STACKED)


@dataclass(frozen=True, slots=True)
class MeanOfTokens:
    """[B, tokens, features] to [B, features]."""

    def __call__(self, flow: Flow, state: State) -> Flow:
        return Flow(stacked(flow, state.lanes).mean(dim=2), Layout.STACKED)


@dataclass(frozen=True, slots=True)
class Attention:
    """Multi-head softmax(Q K^T / sqrt(d)) V, written out; the heads of all lanes are one batch of products."""

    qkv: Linear
    out: Linear
    heads: int
    causal: bool

    def __call__(self, flow: Flow, state: State) -> Flow:
        joined = self.qkv(flow, state).value
        lanes, batch, length, width = *joined.shape[:3], joined.shape[3] // 3
        each = joined.view(lanes * batch, length, 3, self.heads, width // self.heads)
        query, key, value = each.permute(2, 0, 3, 1, 4).flatten(1, 2).unbind()
        scale = 1 / math.sqrt(width // self.heads)
        scores = torch.baddbmm(
            mask(joined, length, causal=self.causal), query, key.transpose(1, 2), beta=int(self.causal), alpha=scale
        )
        mixed = scores.softmax(dim=-1).bmm(value)
        merged = mixed.view(lanes, batch, self.heads, length, -1).transpose(2, 3).flatten(3)
        return self.out(Flow(merged, Layout.STACKED), state)


def mask(like: Tensor, length: int, *, causal: bool) -> Tensor:
    """What is added to the scores, [length, length]: nothing, or minus infinity for later places."""
    mask = like.new_zeros(1, length, length)
    return mask.masked_fill_(torch.ones_like(mask, dtype=torch.bool).triu_(1), -math.inf) if causal else mask
