"""A transformer differentiated by hand, one lane after the other.

A lane's products are as large as the machine's caches, so several at once are no faster than one alone; what lanes can
save is everything else. One lane alone has the fused kernels of torch (bias in the product, scale and shift in the
normalisation, forward and back), its rounding cannot depend on the others, and nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.engine.lanes import composites, layers
from worker.engine.lanes.criterion import Criterion, CrossEntropy
from worker.engine.lanes.flow import Flow, Layer, Layout, State
from worker.engine.lanes.links import ACTIVATIONS, Found, Link, Slots, ahead, back, gelu
from worker.engine.lanes.stack import Layered, Stack
from worker.engine.lanes.tokens import Embedding, Heads, Mean, Norm, Patches, Positions, Residual, Rows

EXAMPLES = 64
"""So many are evaluated at once, so that what passes between two links is still in the cache."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """See `Gradients`: a transformer, each lane by itself."""

    links: tuple[Link, ...]
    criterion: CrossEntropy

    @property
    def abreast(self) -> bool:
        return True

    @torch.no_grad()
    def outputs(self, inputs: Flow, state: State) -> Tensor:
        found: list[Tensor] = []
        for lane, own in enumerate(_each(state)):
            value = inputs.value if inputs.layout is Layout.SHARED else inputs.value[lane]
            parts = torch.split(value, EXAMPLES)
            found.append(torch.cat([ahead(self.links, part, own)[0] for part in parts]))
        return torch.stack(found)

    @torch.no_grad()
    def __call__(self, inputs: Flow, targets: Tensor, state: State) -> Found:
        one_batch, losses = inputs.layout is Layout.SHARED, []
        gradients = [torch.empty_like(parameter) for parameter in state.parameters]
        into = zip(*(gradient.unbind() for gradient in gradients), strict=True)
        for lane, (own, found) in enumerate(zip(_each(state), into, strict=True)):
            batch = (inputs.value, targets) if one_batch else (inputs.value[lane], targets[lane])
            losses.append(self._lane(*batch, own, dict(enumerate(found))))
        return Found(torch.cat(losses), gradients)

    def _lane(self, inputs: Tensor, targets: Tensor, state: State, found: Slots) -> Tensor:
        """The loss, [1]; the gradients are written into `found`."""
        scores, known = ahead(self.links, inputs, state)
        turned = scores.flatten(0, -2).t().unsqueeze(0)
        losses, slopes = self.criterion.slopes(turned, targets.flatten(), one_batch=True)
        back(self.links, slopes[0].t().view(scores.shape), known, state, found, last=True)
        return losses


def _each(state: State) -> Iterator[State]:
    """One lane's state after the other."""
    for parameters in zip(*(parameter.unbind() for parameter in state.parameters), strict=True):
        yield state._replace(parameters=parameters, lanes=1)


def sequence(stack: Stack, criterion: Criterion) -> Sequence | None:
    """The model as a sequence, if it is one."""
    if not isinstance(stack, Layered) or not isinstance(criterion, CrossEntropy) or not stack.layers:
        return None
    links = _links(stack.layers)
    # Only the first two ask nobody for a gradient of what came in.
    if links is None or not isinstance(links[0], Patches | Embedding):
        return None
    return Sequence(links, criterion)


def _links(given: tuple[Layer, ...]) -> tuple[Link, ...] | None:
    """All of these layers, or nothing."""
    found: list[Link] = []
    for layer in given:
        links = _link(layer)
        if links is None:
            return None
        found += links
    return tuple(found)


def _link(layer: Layer) -> tuple[Link, ...] | None:
    match layer:
        case composites.Attention(qkv, out, heads, causal):
            return (Rows(qkv.weight, qkv.bias), Heads(heads, causal), Rows(out.weight, out.bias))
        case composites.Residual(branch, ()):
            return _residual(_links(branch))
        case composites.Patches():
            return (Patches(layer),)
        case composites.Positions(weight):
            return (Positions(weight),)
        case composites.MeanOfTokens():
            return (Mean(),)
        case _:
            link = _single(layer)
            return None if link is None else (link,)


def _single(layer: Layer) -> Link | None:
    match layer:
        case layers.Linear(weight, bias):
            return Rows(weight, bias)
        case layers.Gelu(approximate):
            return gelu(approximate)
        case layers.Elementwise(function):
            return ACTIVATIONS.get(function)
        case layers.Embedding(weight):
            return Embedding(weight)
        case layers.LayerNorm(weight, bias, (features,), eps):
            return Norm(weight, bias, (features,), eps)
        case _:
            return None


def _residual(links: tuple[Link, ...] | None) -> tuple[Link, ...] | None:
    match links:
        case (*branch, Rows() as end):
            return (Residual(tuple(branch), end),)
        case _:
            return None
