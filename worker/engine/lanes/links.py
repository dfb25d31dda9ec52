"""Links of models whose gradients are written out: each computes forward, keeps what it needs, and goes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.lanes import layers
from worker.engine.lanes.flow import Layer, State

aten = torch.ops.aten

PAIR = 2
"""Kernels for several lanes choose another order of summing for one alone."""

Slots: TypeAlias = dict[int, Tensor]

Known: TypeAlias = tuple[Any, ...]  # Any: what a link puts in, it alone takes out


class Found(NamedTuple):
    """Losses [K] as the criterion gives them, and of each slot the gradient [K, ...] of each lane's own mean loss."""

    losses: Tensor
    gradients: Sequence[Tensor]


class Link(Protocol):
    """A layer that knows its derivative."""

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        """What comes out, and what the way back needs to know. What came in stays as it is."""
        ...

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        """From the gradient of what came out, which may be overwritten, to that of what came in, which nobody asks for
        when this is the `last` link on the way back; gradients of parameters go to their slots in `found`.
        """
        ...


def ahead(links: Sequence[Link], value: Tensor, state: State) -> tuple[Tensor, list[Known]]:
    """One link after the other, and in training what each needs to know."""
    known: list[Known] = []
    for link in links:
        value, needed = link.ahead(value, state)
        if state.training:
            known.append(needed)
    return value, known


def back(links: Sequence[Link], slope: Tensor, known: list[Known], state: State, found: Slots, *, last: bool) -> Tensor:
    """The same way back; `known` is used up, so that memory is free as soon as nobody needs it."""
    for place in reversed(range(len(links))):
        slope = links[place].back(slope, known.pop(), state, found, last=last and place == 0)
    return slope


@dataclass(frozen=True, slots=True)
class Activation:
    """`slope(gradient, known)` is autograd's own kernel; `by_value`: `known` is what came out, else what came in."""

    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    by_value: bool

    def ahead(self, value: Tensor, state: State) -> tuple[Tensor, Known]:
        out = self.function(value)
        return out, (out if self.by_value else value,)

    def back(self, slope: Tensor, known: Known, state: State, found: Slots, *, last: bool) -> Tensor:
        return self.slope(slope, *known)


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


def activation(layer: Layer) -> Activation | None:
    """The layer's link, if it is an activation whose slope is known."""
    match layer:
        case layers.Elementwise(function):
            return ACTIVATIONS.get(function)
        case layers.Gelu(approximate):
            return _gelu(approximate)
        case _:
            return None


@cache
def _gelu(approximate: str) -> Activation:
    return Activation(
        partial(functional.gelu, approximate=approximate),
        lambda slope, value: aten.gelu_backward.grad_input(slope, value, approximate=approximate, grad_input=slope),
        by_value=False,
    )
