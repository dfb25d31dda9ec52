"""A plain `nn.Module` made of known layers as a batched model; anything else is refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from worker.engine.lanes import layers
from worker.engine.lanes.layers import Flow, Layer, Layout, State, stacked


class UnsuitedError(ValueError):
    """A job that this engine cannot train, and why."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A batched model: its layers, and the shape of one lane's part of each slot."""

    layers: tuple[Layer, ...]
    parameters: tuple[torch.Size, ...]
    buffers: tuple[torch.Size, ...]

    def __call__(self, inputs: Flow, state: State) -> Tensor:
        """Outputs [K, B, ...]."""
        flow = inputs
        for layer in self.layers:
            flow = layer(flow, state)
        return stacked(flow, state.lanes)


class Weights(NamedTuple):
    """One lane's values, by slot, in the orientation of the stack."""

    parameters: tuple[Tensor, ...]
    buffers: tuple[Tensor, ...]


@dataclass(slots=True)
class _Draft:
    layers: list[Layer] = field(default_factory=list)
    parameters: list[Tensor] = field(default_factory=list)
    buffers: list[Tensor] = field(default_factory=list)

    def parameter(self, tensor: Tensor) -> int:
        if not tensor.requires_grad:
            raise UnsuitedError("a parameter is frozen (requires_grad is False)")
        self.parameters.append(tensor.detach())
        return len(self.parameters) - 1

    def optional(self, tensor: Tensor | None) -> int | None:
        return None if tensor is None else self.parameter(tensor)

    def buffer(self, tensor: Tensor) -> int:
        self.buffers.append(tensor)
        return len(self.buffers) - 1


def convert(model: nn.Module) -> tuple[Stack, Weights]:
    """The batched form of `model`, and its weights as one lane. Raises UnsuitedError."""
    _check_plain(model)
    draft = _Draft()
    _add(model, draft)
    stack = Stack(
        tuple(draft.layers),
        tuple(tensor.shape for tensor in draft.parameters),
        tuple(tensor.shape for tensor in draft.buffers),
    )
    return stack, Weights(tuple(draft.parameters), tuple(draft.buffers))


def shared(inputs: Tensor) -> Flow:
    """A batch [B, ...] that all lanes see."""
    return Flow(inputs, Layout.SHARED)


def own(inputs: Tensor) -> Flow:
    """A batch for each lane, [K, B, ...]."""
    return Flow(inputs, Layout.STACKED)


def _check_plain(model: nn.Module) -> None:
    uses: dict[nn.Module, int] = {}
    for module in _leaves(model):
        uses[module] = uses.get(module, 0) + 1
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:  # noqa: SLF001  # no other way
            raise UnsuitedError(f"{type(module).__name__} has hooks")
    kinds = {tensor.dtype for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()}
    if len(kinds) > 1:
        raise UnsuitedError(f"its parameters are of several types: {', '.join(sorted(map(str, kinds)))}")
    for module, count in uses.items():
        if count > 1 and any(True for _ in module.parameters()):
            raise UnsuitedError(f"a {type(module).__name__} is used {count} times")
    if sum(1 for module in uses for _ in module.parameters()) != len(list(model.parameters())):
        raise UnsuitedError("layers share a parameter")


def _leaves(model: nn.Module) -> list[nn.Module]:
    """The layers in the order in which they run; a layer used twice comes twice."""
    if type(model) is not nn.Sequential:
        return [model]
    return [leaf for child in model for leaf in _leaves(child)]


def _add(model: nn.Module, draft: _Draft) -> None:
    for module in _leaves(model):
        # A subclass may compute anything, so the type must be the very one.
        make = _MAKERS.get(type(module))
        if make is None:
            raise UnsuitedError(f"{type(module).__name__} is no layer that this engine knows")
        layer = make(module, draft)
        if layer is not None:
            draft.layers.append(layer)


def _flatten(module: nn.Flatten, draft: _Draft) -> Layer:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise UnsuitedError(f"Flatten of dimensions {module.start_dim} to {module.end_dim}; only 1 to -1 is known")
    return layers.Flatten()


def _linear(module: nn.Linear, draft: _Draft) -> Layer:
    weight = draft.parameter(module.weight)
    draft.parameters[weight] = draft.parameters[weight].t()
    return layers.Linear(weight, draft.optional(module.bias))


def _conv2d(module: nn.Conv2d, draft: _Draft) -> Layer:
    if module.padding_mode != "zeros":
        raise UnsuitedError(f"Conv2d with padding_mode {module.padding_mode!r}; only 'zeros' is known")
    weight, bias = draft.parameter(module.weight), draft.optional(module.bias)
    return layers.Conv2d(weight, bias, module.stride, module.padding, module.dilation, module.groups)


def _batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, draft: _Draft) -> Layer:
    mean, variance, momentum = module.running_mean, module.running_var, module.momentum
    if mean is None or variance is None or momentum is None:
        raise UnsuitedError(f"{type(module).__name__} without running statistics of a fixed momentum")
    return layers.BatchNorm(
        draft.optional(module.weight if module.affine else None),
        draft.optional(module.bias if module.affine else None),
        draft.buffer(mean),
        draft.buffer(variance),
        momentum,
        module.eps,
    )


def _max_pool(module: nn.MaxPool2d, draft: _Draft) -> Layer:
    if module.return_indices:
        raise UnsuitedError("MaxPool2d that returns indices")
    return layers.MaxPool2d(module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)


def _avg_pool(module: nn.AvgPool2d, draft: _Draft) -> Layer:
    return layers.AvgPool2d(
        module.kernel_size,
        module.stride,
        module.padding,
        module.ceil_mode,
        module.count_include_pad,
        module.divisor_override,
    )


def _dropout(module: nn.Dropout, draft: _Draft) -> None:
    if module.p > 0:
        raise UnsuitedError(f"Dropout of {module.p}: masks that equal solo's are not built yet")


_MAKERS: dict[type[nn.Module], Callable[..., Layer | None]] = {
    nn.Flatten: _flatten,
    nn.Linear: _linear,
    nn.ReLU: lambda module, draft: layers.Elementwise(torch.relu),
    nn.Tanh: lambda module, draft: layers.Elementwise(torch.tanh),
    nn.Sigmoid: lambda module, draft: layers.Elementwise(torch.sigmoid),
    nn.SiLU: lambda module, draft: layers.Elementwise(nn.functional.silu),
    nn.GELU: lambda module, draft: layers.Gelu(module.approximate),
    nn.Conv2d: _conv2d,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: lambda module, draft: layers.AdaptiveAvgPool2d(module.output_size),
    nn.Dropout: _dropout,
    nn.Identity: lambda module, draft: None,
}
