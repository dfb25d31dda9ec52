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
from worker.engine.lanes.links import Found, Link, Slots, activation, ahead, back
from worker.engine.lanes.stack import Layered, Stack
from worker.engine.lanes.tokens import Embedding, Heads, Mean, Norm, Patches, Positions, Residual, Rows

ROWS = 2_048
"""So many tokens are evaluated at once, whose values stay in the cache: a ViT took 155 ms for 1,024 examples of 16, all
at once 185, and in pieces of a quarter of this size, whose kernels are too short for what starting them costs, 174.
"""


@dataclass(frozen=True, slots=True)
class Sequence:
    """See `Gradients`: a transformer, each lane by itself.

    In inference mode, in which starting a kernel costs less than without gradients alone: 4 % of an update of a ViT.

    Examples are `length` tokens; `each_token`: outputs are [K, B, length, ...], else [K, B, ...].
    """

    links: tuple[Link, ...]
    criterion: CrossEntropy
    length: int
    each_token: bool

    @property
    def least(self) -> int:
        return 1

    @property
    def abreast(self) -> bool:
        return True

    @torch.inference_mode()
    def outputs(self, inputs: Flow, state: State) -> Tensor:
        found, size = list[Tensor](), max(ROWS // self.length, 1)
        for lane, own in enumerate(_each(state)):
            value = inputs.value if inputs.layout is Layout.SHARED else inputs.value[lane]
            found.append(torch.cat([ahead(self.links, part, own)[0] for part in torch.split(value, size)]))
        scores = torch.stack(found)
        return scores.view(len(scores), -1, self.length, scores.shape[-1]) if self.each_token else scores

    @torch.inference_mode()
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
        losses, slopes = self.criterion.slopes(scores.t().unsqueeze(0), targets.flatten(), one_batch=True)
        back(self.links, slopes[0].t(), known, state, found, last=True)
        return losses


def _each(state: State) -> Iterator[State]:
    """One lane's state after the other."""
    for parameters in zip(*(parameter.unbind() for parameter in state.parameters), strict=True):
        yield state._replace(parameters=parameters, lanes=1)


def sequence(stack: Stack, criterion: Criterion) -> Sequence | None:
    """The model as a sequence, if it is one."""
    if not isinstance(stack, Layered) or not isinstance(criterion, CrossEntropy):
        return None
    match stack.layers:
        # These two ask nobody for a gradient of what came in, and the places say how many tokens there are.
        case (composites.Patches() | layers.Embedding(), composites.Positions(places), *_):
            length = stack.parameters[places][0]
            links = _links(stack.layers, length)
            return None if links is None else Sequence(links, criterion, length, Mean(length) not in links)
        case _:
            return None


def _links(given: tuple[Layer, ...], length: int) -> tuple[Link, ...] | None:
    """All of these layers, or nothing."""
    found: list[Link] = []
    for layer in given:
        links = _link(layer, length)
        if links is None:
            return None
        found += links
    return tuple(found)


def _link(layer: Layer, length: int) -> tuple[Link, ...] | None:
    match layer:
        case composites.Attention(qkv, out, heads, causal):
            return Rows(qkv.weight, None), Heads(qkv.bias, heads, length, causal), Rows(out.weight, out.bias)
        case composites.Residual(branch, ()):
            return _residual(_links(branch, length))
        case composites.MeanOfTokens():
            return (Mean(length),)
        case _:
            link = _single(layer)
            return None if link is None else (link,)


def _residual(links: tuple[Link, ...] | None) -> tuple[Link, ...] | None:
    match links:
        case (*branch, Rows() as end):
            return (Residual(tuple(branch), end),)
        case _:
            return None


def _single(layer: Layer) -> Link | None:
    match layer:
        case layers.Linear(weight, bias):
            return Rows(weight, bias)
        case layers.LayerNorm(weight, bias, (features,), eps):
            return Norm(weight, bias, (features,), eps)
        case layers.Embedding(weight):
            return Embedding(weight)
        case composites.Patches(weight, bias):
            return Patches(layer, Rows(weight, bias))
        case composites.Positions(weight):
            return Positions(weight)
        case _:
            return activation(layer)
