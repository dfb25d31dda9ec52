"""How deep in a model a parameter lies: what layer-wise rates go by."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from schedules.groups import discriminative


def depths(model: nn.Module) -> dict[Tensor, int]:
    """The layer of every parameter, from 0 at the input, in the order in which the model lists its modules.

    A layer is a child of the model, and of a Sequential or ModuleList in it, with a parameter of two dimensions or
    more; what has only vectors, such as a normalisation, belongs to the layer before it, or to the first. The model's
    own parameters, such as positions, belong to its first child.
    """
    found: dict[Tensor, int] = {}
    layer, begun = 0, False
    for unit in _units(model):
        if any(parameter.dim() > 1 for parameter in unit):
            layer += begun
            begun = True
        for parameter in unit:
            found.setdefault(parameter, layer)
    return found


def factors(model: nn.Module, decay: float) -> dict[Tensor, float]:
    """decay^(n - 1 - i) for the parameters of layer i of n; see `schedules.groups`."""
    layers = depths(model)
    of_layer = discriminative(max(layers.values(), default=0) + 1, decay)
    return {parameter: of_layer[layer] for parameter, layer in layers.items()}


def _units(module: nn.Module, *, outermost: bool = True) -> Iterator[list[nn.Parameter]]:
    children = list(module.children())
    if not children or not (outermost or type(module) in {nn.Sequential, nn.ModuleList}):
        yield list(module.parameters())
        return
    loose = list(module.parameters(recurse=False))
    for child in children:
        for unit in _units(child, outermost=False):
            yield loose + unit
            loose = []
