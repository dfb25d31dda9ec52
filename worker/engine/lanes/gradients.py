"""Losses and gradients of a batched model: recorded by autograd, or written out where the model is a chain.

A chain is linear maps with activations and dropout between them. It is worked through with the features before the
examples, [K, features, B]: products of that orientation are the fast ones, their rounding does not depend on K whatever
the number of examples, and nothing is recorded: an update of 16 lanes of an MLP 64-128-10 takes half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.lanes import layers
from worker.engine.lanes.affine import NARROW
from worker.engine.lanes.criterion import Criterion, CrossEntropy
from worker.engine.lanes.flow import Flow, Layer, Layout, State
from worker.engine.lanes.stack import Layered, Stack
from worker.engine.precision import Precision

aten = torch.ops.aten

WHOLE = 16
"""Evaluations are filled up to a multiple of so many examples: with 359 columns a product took three times as long as
with 360.
"""


Slots: TypeAlias = dict[int, Tensor]


class Found(NamedTuple):
    """Losses [K] as the criterion gives them, and of each slot the gradient [K, ...] of each lane's own mean loss."""

    losses: Tensor
    gradients: Sequence[Tensor]


class Gradients(Protocol):
    """A batched model and its criterion, to be evaluated and differentiated."""

    @property
    def criterion(self) -> Criterion: ...

    @property
    def abreast(self) -> bool:
        """Whether many examples of all lanes may be evaluated at once: no lane's rounding depends on their number."""
        ...

    def outputs(self, inputs: Flow, state: State) -> Tensor:
        """[K, B, ...]; of a `Chain` in evaluation only."""
        ...

    def __call__(self, inputs: Flow, targets: Tensor, state: State) -> Found:
        """In training."""
        ...


@dataclass(frozen=True, slots=True)
class Autograd:
    """See `Gradients`: any model; the parameters of the state are leaves that require gradients."""

    stack: Stack
    criterion: Criterion
    precision: Precision | None = field(default=None, compare=False)

    @property
    def abreast(self) -> bool:
        return False

    def outputs(self, inputs: Flow, state: State) -> Tensor:
        return self.stack(inputs, state) if self.precision is None else self.precision(self.stack, inputs, state)

    def __call__(self, inputs: Flow, targets: Tensor, state: State) -> Found:
        outputs = self.outputs(inputs, state)
        losses = self.criterion(outputs, targets, one_batch=inputs.layout is Layout.SHARED)
        # Summed, not averaged, over lanes: each lane's gradient is that of its own mean loss.
        gradients = torch.autograd.grad(losses.sum() / self.criterion.terms, list(state.parameters))
        return Found(losses.detach(), gradients)


class Link(Protocol):
    """A layer of a chain."""

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Tensor | None]:
        """What comes out, and what the way back needs to know."""
        ...

    def back(self, slope: Tensor, known: Tensor | None, state: State, found: Slots, *, last: bool) -> Tensor:
        """From the gradient of what came out, which may be overwritten, to that of what came in, which nobody asks for
        when this is the `last` link on the way back; gradients of parameters go to their slots in `found`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Affine:
    """See `layers.Linear`."""

    weight: int
    bias: int | None

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Tensor | None]:
        weight = state.parameters[self.weight]
        if self.bias is None:
            return weight.bmm(value), value
        return torch.baddbmm(state.parameters[self.bias].unsqueeze(2), weight, value), value

    def back(self, slope: Tensor, known: Tensor | None, state: State, found: Slots, *, last: bool) -> Tensor:
        assert known is not None
        found[self.weight] = slope.bmm(known.transpose(1, 2))
        if self.bias is not None:
            found[self.bias] = slope.sum(dim=2)
        return slope if last else state.parameters[self.weight].transpose(1, 2).bmm(slope)


@dataclass(frozen=True, slots=True)
class Activation:
    """`slope(gradient, known)` is autograd's own kernel; `by_value`: `known` is what came out, else what came in."""

    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    by_value: bool

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Tensor | None]:
        out = self.function(value)
        return out, out if self.by_value else value

    def back(self, slope: Tensor, known: Tensor | None, state: State, found: Slots, *, last: bool) -> Tensor:
        assert known is not None
        return self.slope(slope, known)


@dataclass(frozen=True, slots=True)
class Masked:
    """See `layers.Dropout`."""

    number: int
    p: float

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Tensor | None]:
        if not state.training or self.p == 0:
            return value, None
        masks = state.draws.mask(self.number, self.p, value[0].t()).transpose(1, 2)
        return value * masks, masks

    def back(self, slope: Tensor, known: Tensor | None, state: State, found: Slots, *, last: bool) -> Tensor:
        return slope if known is None else slope.mul_(known)


ACTIVATIONS: Mapping[Callable[[Tensor], Tensor], Activation] = {
    torch.relu: Activation(
        torch.relu,
        lambda slope, out: aten.threshold_backward.grad_input(slope, out, 0, grad_input=slope),
        by_value=True,
    ),
    torch.tanh: Activation(torch.tanh, aten.tanh_backward, by_value=True),
    torch.sigmoid: Activation(torch.sigmoid, aten.sigmoid_backward, by_value=True),
    torch.nn.functional.silu: Activation(torch.nn.functional.silu, aten.silu_backward, by_value=False),
}


@dataclass(frozen=True, slots=True)
class Chain:
    """See `Gradients`: linear maps and what stands between them, worked through by hand."""

    links: tuple[Link, ...]
    criterion: CrossEntropy

    @property
    def abreast(self) -> bool:
        return True

    @torch.no_grad()
    def outputs(self, inputs: Flow, state: State) -> Tensor:
        size = len(inputs.value) if inputs.layout is Layout.SHARED else inputs.value.shape[1]
        value = _turned(inputs, state.lanes, more=-size % WHOLE)
        for link in self.links:
            value, _ = link.ahead(value, state)
        return value[:, :, :size].transpose(1, 2)

    @torch.no_grad()
    def __call__(self, inputs: Flow, targets: Tensor, state: State) -> Found:
        value, known = _turned(inputs, state.lanes), []
        for link in self.links:
            value, needed = link.ahead(value, state)
            known.append(needed)
        losses, slope = self.criterion.slopes(value, targets, one_batch=inputs.layout is Layout.SHARED)
        found: Slots = {}
        for place in reversed(range(len(self.links))):
            slope = self.links[place].back(slope, known[place], state, found, last=place == 0)
        return Found(losses, [found[slot] for slot in range(len(found))])


def _turned(inputs: Flow, lanes: int, *, more: int = 0) -> Tensor:
    """[K, features, B + more], with zeros for so many examples more."""
    rows = inputs.value.flatten(1 if inputs.layout is Layout.SHARED else 2)
    value = (functional.pad(rows, (0, 0, 0, more)) if more else rows).transpose(-2, -1)
    return value.expand(lanes, *value.shape) if inputs.layout is Layout.SHARED else value


def gradients(stack: Stack, criterion: Criterion, examples: int, precision: Precision | None = None) -> Gradients:
    """How to differentiate batches of so many examples: a chain where it is one, in float32, unless its rows would be
    short.
    """
    full = precision is None or not precision.reduced
    found = chain(stack, criterion) if full and examples >= NARROW else None
    return Autograd(stack, criterion, precision) if found is None else found


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
        case layers.Elementwise(function):
            return ACTIVATIONS.get(function)
        case layers.Dropout(number, p):
            return Masked(number, p)
        case _:
            return None
