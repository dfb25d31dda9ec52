"""A model of linear maps with activations and dropout between them, differentiated by hand.

It is worked through with the features before the examples, [K, features, B]: products of that orientation are the fast
ones, their rounding does not depend on K whatever the number of examples, and nothing is recorded: an update of 16
lanes of an MLP 64-128-10 takes half the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.lanes import layers
from worker.engine.lanes.criterion import Criterion, CrossEntropy
from worker.engine.lanes.flow import Flow, Layer, Layout, State
from worker.engine.lanes.links import PAIR, Found, Known, Link, Slots, activation, ahead, back
from worker.engine.lanes.stack import Layered, Stack

WHOLE = 16
"""Evaluations are filled up to a multiple of so many examples: with 359 columns a product took three times as long as
with 360.
"""


@dataclass(frozen=True, slots=True)
class Affine:
    """See `layers.Linear`."""

    weight: int
    bias: int | None

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        weight = state.parameters[self.weight]
        if self.bias is None:
            return weight.bmm(value), (value,)
        return torch.baddbmm(state.parameters[self.bias].unsqueeze(2), weight, value), (value,)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        (value,) = known
        found[self.weight] = slope.bmm(value.transpose(1, 2))
        if self.bias is not None:
            found[self.bias] = slope.sum(dim=2)
        return slope if last else state.parameters[self.weight].transpose(1, 2).bmm(slope)


@dataclass(frozen=True, slots=True)
class Masked:
    """See `layers.Dropout`."""

    number: int
    p: float

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        if not state.training or self.p == 0:
            return value, ()
        masks = state.draws.mask(self.number, self.p, value[0].t()).transpose(1, 2)
        return value * masks, (masks,)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        return slope.mul_(*known) if known else slope


@dataclass(frozen=True, slots=True)
class Chain:
    """See `Gradients`: linear maps and what stands between them, worked through by hand."""

    links: tuple[Link, ...]
    criterion: CrossEntropy

    @property
    def least(self) -> int:
        return PAIR

    @property
    def abreast(self) -> bool:
        return True

    @torch.no_grad()
    def outputs(self, inputs: Flow, state: State) -> Tensor:
        size = len(inputs.value) if inputs.layout is Layout.SHARED else inputs.value.shape[1]
        value, _ = ahead(self.links, _turned(inputs, state.lanes, more=-size % WHOLE), state)
        return value[:, :, :size].transpose(1, 2)

    @torch.no_grad()
    def __call__(self, inputs: Flow, targets: Tensor, state: State) -> Found:
        value, known = ahead(self.links, _turned(inputs, state.lanes), state)
        losses, slope = self.criterion.slopes(value, targets, one_batch=inputs.layout is Layout.SHARED)
        found: Slots = {}
        back(self.links, slope, known, state, found, last=True)
        return Found(losses, [found[slot] for slot in range(len(found))])


def _turned(inputs: Flow, lanes: int, *, more: int = 0) -> Tensor:
    """[K, features, B + more], with zeros for so many examples more."""
    rows = inputs.value.flatten(1 if inputs.layout is Layout.SHARED else 2)
    value = (functional.pad(rows, (0, 0, 0, more)) if more else rows).transpose(-2, -1)
    return value.expand(lanes, *value.shape) if inputs.layout is Layout.SHARED else value


def chain(stack: Stack, criterion: Criterion) -> Chain | None:
    """The model as a chain, if it is one."""
    if not isinstance(stack, Layered) or not isinstance(criterion, CrossEntropy) or not stack.layers:
        return None
    # Examples must be vectors before anything else happens to them.
    first, *others = stack.layers
    links = [_link(layer) for layer in others]
    if not isinstance(first, layers.Flatten) or not links or not isinstance(links[0], Affine):
        return None
    known = tuple(link for link in links if link is not None)
    return Chain(known, criterion) if len(known) == len(links) else None


def _link(layer: Layer) -> Link | None:
    match layer:
        case layers.Linear(weight, bias):
            return Affine(weight, bias)
        case layers.Dropout(number, p):
            return Masked(number, p)
        case _:
            return activation(layer)
