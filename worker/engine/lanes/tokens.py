"""Links over tokens, of one lane: values are rows [B * T, features], all of an example's tokens one after the other.

Nothing in the state has a dimension of lanes; gradients of parameters are written into what lies in their slots.
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
    """See `layers.Linear`."""

    weight: int
    bias: int | None

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        bias = None if self.bias is None else state.parameters[self.bias]
        return functional.linear(value, state.parameters[self.weight], bias), (value,)

    def onto(self, value: Tensor, before: Tensor, state: State) -> tuple[Tensor, Known]:
        """`before` and what comes out of `value`, added up in one pass less."""
        out = before.clone() if self.bias is None else before + state.parameters[self.bias]
        return out.addmm_(value, state.parameters[self.weight].t()), (value,)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        torch.mm(slope.t(), *known, out=found[self.weight])
        if self.bias is not None:
            torch.sum(slope, dim=0, out=found[self.bias])
        return slope if last else slope.mm(state.parameters[self.weight])


@dataclass(frozen=True, slots=True)
class Patches:
    """See `composites.Patches`: images [B, C, H, W] to rows."""

    cut: composites.Patches
    map: Rows

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        return self.map.ahead(self.cut.rows(value).flatten(0, 1), state)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        return self.map.back(slope, known, state, found, last=True)


@dataclass(frozen=True, slots=True)
class Embedding:
    """See `layers.Embedding`: tokens [B, T] to rows."""

    weight: int

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        tokens = value.flatten()
        return functional.embedding(tokens, state.parameters[self.weight]), (tokens,)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        table = found[self.weight]
        every = {"num_weights": len(table), "padding_idx": -1, "scale_grad_by_freq": False}
        table.copy_(aten.embedding_dense_backward(slope, *known, **every))
        return slope


@dataclass(frozen=True, slots=True)
class Positions:
    """See `composites.Positions`."""

    weight: int

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        places = state.parameters[self.weight]
        return (value.view(-1, *places.shape) + places).flatten(0, 1), ()

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        into = found[self.weight]
        torch.sum(slope.view(-1, *into.shape), dim=0, out=into)
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
    """What attention does between the products of its two linear maps, 3 * features to features; `bias` is the first
    one's.

    Each head has its examples one after the other, [3, heads * B, T, features of a head]: of all orders this one is
    copied fastest, in both directions. The bias is added on the way, which spares it a pass of its own.
    """

    bias: int | None
    heads: int
    length: int
    causal: bool

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        rows = self._apart(value, 3)
        each = value.new_empty(rows.shape)
        if self.bias is None:
            each.copy_(rows)
        else:
            torch.add(rows, state.parameters[self.bias].view(3, self.heads, 1, 1, -1), out=each)
        query, key, values = each.flatten(1, 2).unbind()
        mask = composites.mask(value, self.length, causal=self.causal)
        scores = torch.baddbmm(mask, query, key.transpose(1, 2), beta=int(self.causal), alpha=_scale(query))
        shares = torch.softmax(scores, dim=-1, out=scores)
        return self._together(shares.bmm(values), 1), (query, key, values, shares)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        query, key, values, shares = known
        mixed = self._apart(slope, 1).reshape(query.shape)
        out = slope.new_empty(3, *query.shape)
        queries, keys, of_values = out.unbind()
        torch.bmm(shares.transpose(1, 2), mixed, out=of_values)
        scores = mixed.bmm(values.transpose(1, 2))
        softmax_slope(scores, shares, -1, scores.dtype, grad_input=scores)
        # With beta 0 the first operand is not read.
        torch.baddbmm(query, scores, key, beta=0, alpha=_scale(query), out=queries)
        torch.baddbmm(key, scores.transpose(1, 2), query, beta=0, alpha=_scale(query), out=keys)
        rows = self._together(out, 3)
        if self.bias is not None:
            torch.sum(rows, dim=0, out=found[self.bias])
        return rows

    def _apart(self, rows: Tensor, parts: int) -> Tensor:
        """Rows [B * T, parts * features] seen as [parts, heads, B, T, features of a head]."""
        width = rows.shape[1] // (parts * self.heads)
        return rows.view(-1, self.length, parts, self.heads, width).permute(2, 3, 0, 1, 4)

    def _together(self, each: Tensor, parts: int) -> Tensor:
        """The way back, copied."""
        width = each.shape[-1]
        apart = each.view(parts, self.heads, -1, self.length, width).permute(2, 3, 0, 1, 4)
        return apart.reshape(-1, parts * self.heads * width)


def _scale(query: Tensor) -> float:
    return 1 / math.sqrt(query.shape[-1])


@dataclass(frozen=True, slots=True)
class Mean:
    """See `composites.MeanOfTokens`: rows to one for each example."""

    length: int

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        return value.view(-1, self.length, value.shape[1]).mean(dim=1), ()

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        return (slope / self.length).repeat_interleave(self.length, dim=0)


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
