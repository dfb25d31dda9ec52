"""Links over tokens, of one lane: values are [B, T, features], and nothing in the state has a dimension of lanes.

Gradients of parameters are written into what lies in their slots.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.lanes import composites
from worker.engine.lanes.flow import State
from worker.engine.lanes.links import Known, Link, Slots, ahead, back

aten = torch.ops.aten

softmax_slope = aten._softmax_backward_data.out  # noqa: SLF001  # autograd's own kernel has no public name


@dataclass(frozen=True, slots=True)
class Rows:
    """See `layers.Linear`: [B, T, inputs] or [B, inputs] to outputs."""

    weight: int
    bias: int | None

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        bias = None if self.bias is None else state.parameters[self.bias]
        rows, turned = value.flatten(0, -2), state.parameters[self.weight].t()
        out = rows.mm(turned) if bias is None else torch.addmm(bias, rows, turned)
        return out.view(*value.shape[:-1], -1), (rows,)

    def onto(self, value: Tensor, before: Tensor, state: State) -> tuple[Tensor, Known]:
        """`before` and what comes out of `value`, added up in one pass less."""
        rows, turned = value.flatten(0, -2), state.parameters[self.weight].t()
        out = before.clone() if self.bias is None else before + state.parameters[self.bias]
        out.flatten(0, -2).addmm_(rows, turned)
        return out, (rows,)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        (value,), rows = known, slope.flatten(0, -2)
        torch.mm(rows.t(), value, out=found[self.weight])
        if self.bias is not None:
            torch.sum(rows, dim=0, out=found[self.bias])
        return slope if last else rows.mm(state.parameters[self.weight]).view(*slope.shape[:-1], -1)


@dataclass(frozen=True, slots=True)
class Patches:
    """See `composites.Patches`."""

    cut: composites.Patches

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        patches = self.cut.rows(value)
        out, known = Rows(self.cut.weight, self.cut.bias).ahead(patches, state)
        return out, known

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        return Rows(self.cut.weight, self.cut.bias).back(slope, known, state, found, last=True)


@dataclass(frozen=True, slots=True)
class Embedding:
    """See `layers.Embedding`: tokens [B, T] to [B, T, features]."""

    weight: int

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        return functional.embedding(value, state.parameters[self.weight]), (value,)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        (tokens,) = known
        table = found[self.weight]
        table.copy_(
            aten.embedding_dense_backward(
                slope, tokens, num_weights=len(table), padding_idx=-1, scale_grad_by_freq=False
            )
        )
        return slope


@dataclass(frozen=True, slots=True)
class Positions:
    """See `composites.Positions`."""

    weight: int

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        return value + state.parameters[self.weight], ()

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        torch.sum(slope, dim=0, out=found[self.weight])
        return slope


@dataclass(frozen=True, slots=True)
class Norm:
    """See `layers.LayerNorm`."""

    weight: int | None
    bias: int | None
    shape: tuple[int, ...]
    eps: float

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        out, mean, scale = aten.native_layer_norm(value, self.shape, *self._own(state), self.eps)
        return out, (value, mean, scale)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        (value, mean, scale), asked = known, [not last, self.weight is not None, self.bias is not None]
        out: Tensor
        out, *of_own = aten.native_layer_norm_backward(slope, value, self.shape, mean, scale, *self._own(state), asked)
        for slot, gradient in zip((self.weight, self.bias), of_own, strict=True):
            if slot is not None:
                found[slot].copy_(gradient)
        return out

    def _own(self, state: State) -> Iterator[Tensor | None]:
        """Scale and shift."""
        return (None if slot is None else state.parameters[slot] for slot in (self.weight, self.bias))


@dataclass(frozen=True, slots=True)
class Heads:
    """What attention does between its two linear maps: [B, T, 3 * features] to [B, T, features].

    Each head has its examples one after the other, [3, heads * B, T, features of a head]: of all orders this one is
    copied fastest, in both directions.
    """

    heads: int
    causal: bool

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        batch, length, _ = value.shape
        each = value.view(batch, length, 3, self.heads, -1).permute(2, 3, 0, 1, 4)
        parts = each.reshape(3, self.heads * batch, length, -1)
        query, key, values = parts.unbind()
        mask = composites.mask(value, length, causal=self.causal)
        scores = torch.baddbmm(mask, query, key.transpose(1, 2), beta=int(self.causal), alpha=self._scale(query))
        shares = torch.softmax(scores, dim=-1, out=scores)
        mixed = shares.bmm(values).view(self.heads, batch, length, -1)
        return mixed.permute(1, 2, 0, 3).reshape(batch, length, -1), (parts, shares)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        (parts, shares), (batch, length, width) = known, slope.shape
        query, key, values = parts.unbind()
        out = torch.empty_like(parts)
        mixed = slope.view(batch, length, self.heads, -1).permute(2, 0, 1, 3).reshape(query.shape)
        torch.bmm(shares.transpose(1, 2), mixed, out=out[2])
        scores = mixed.bmm(values.transpose(1, 2))
        softmax_slope(scores, shares, -1, scores.dtype, grad_input=scores)
        none, scale = scores.new_zeros(1, 1, 1), self._scale(query)
        torch.baddbmm(none, scores, key, beta=0, alpha=scale, out=out[0])
        torch.baddbmm(none, scores.transpose(1, 2), query, beta=0, alpha=scale, out=out[1])
        return out.view(3, self.heads, batch, length, -1).permute(2, 3, 0, 1, 4).reshape(batch, length, 3 * width)

    def _scale(self, query: Tensor) -> float:
        return 1 / math.sqrt(query.shape[-1])


@dataclass(frozen=True, slots=True)
class Mean:
    """See `composites.MeanOfTokens`."""

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        return value.mean(dim=1), (value.shape,)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        (shape,) = known
        out: Tensor = (slope / shape[1]).unsqueeze(1).expand(shape)
        return out


@dataclass(frozen=True, slots=True)
class Residual:
    """What comes in, and what a branch that ends in a linear map makes of it, added up."""

    branch: tuple[Link, ...]
    end: Rows

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        inner, known = ahead(self.branch, value, state)
        out, needed = self.end.onto(inner, value, state)
        return out, (known, needed)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        inner, needed = known
        # A linear map leaves the slope as it is, so it can still be added.
        branch = self.end.back(slope, needed, state, found, last=False)
        return back(self.branch, branch, inner, state, found, last=False).add_(slope)
