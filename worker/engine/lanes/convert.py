"""A plain `nn.Module` made of known modules as a batched model; anything else is refused with the reason."""

from __future__ import annotations

from torch import nn

from worker.engine.lanes import known_layers, known_models
from worker.engine.lanes.draft import Draft
from worker.engine.lanes.stack import Layered, UnsuitedError, Weights

CONVERTERS = {**known_layers.CONVERTERS, **known_models.CONVERTERS}


def convert(model: nn.Module) -> tuple[Layered, Weights]:
    """The batched form of `model`, and its weights as one lane. Raises UnsuitedError."""
    for module in model.modules():
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:  # noqa: SLF001  # no other way
            raise UnsuitedError(f"{type(module).__name__} has hooks")
    draft = Draft(CONVERTERS)
    layers = draft.layers(model)
    _check_taken(model, draft)
    stack = Layered(
        layers,
        tuple(tensor.shape for tensor in draft.parameters),
        tuple(tensor.shape for tensor in draft.buffers),
    )
    return stack, Weights(tuple(draft.parameters), tuple(draft.buffers), tuple(draft.taken))


def _check_taken(model: nn.Module, draft: Draft) -> None:
    """Every parameter in one slot, and all of one type."""
    taken = {id(parameter) for parameter in draft.taken}
    if len(taken) < len(draft.taken):
        raise UnsuitedError("layers share a parameter")
    left = [name for name, parameter in model.named_parameters() if id(parameter) not in taken]
    if left:
        raise UnsuitedError(f"the parameter {left[0]} belongs to no layer that this engine knows")
    kinds = {tensor.dtype for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()}
    if len(kinds) > 1:
        raise UnsuitedError(f"its parameters are of several types: {', '.join(sorted(map(str, kinds)))}")
