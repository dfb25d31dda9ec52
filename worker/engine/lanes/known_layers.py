"""How the modules of torch.nn become layers of a batched model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from worker.engine.dropout import Dropout
from worker.engine.lanes import layers
from worker.engine.lanes.draft import Converter, Draft
from worker.engine.lanes.flow import Layer
from worker.engine.lanes.stack import UnsuitedError


def linear(module: nn.Linear, draft: Draft) -> layers.Linear:
    return layers.Linear(draft.parameter(module.weight), draft.optional(module.bias))


def _flatten(module: nn.Flatten, draft: Draft) -> tuple[Layer, ...]:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise UnsuitedError(f"Flatten of dimensions {module.start_dim} to {module.end_dim}; only 1 to -1 is known")
    return (layers.Flatten(),)


def _conv2d(module: nn.Conv2d, draft: Draft) -> tuple[Layer, ...]:
    if module.padding_mode != "zeros":
        raise UnsuitedError(f"Conv2d with padding_mode {module.padding_mode!r}; only 'zeros' is known")
    weight, bias = draft.parameter(module.weight), draft.optional(module.bias)
    return (layers.Conv2d(weight, bias, module.stride, module.padding, module.dilation, module.groups),)


def _batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, draft: Draft) -> tuple[Layer, ...]:
    mean, variance, momentum = module.running_mean, module.running_var, module.momentum
    if mean is None or variance is None or momentum is None:
        raise UnsuitedError(f"{type(module).__name__} without running statistics of a fixed momentum")
    weight = draft.optional(module.weight if module.affine else None)
    bias = draft.optional(module.bias if module.affine else None)
    return (layers.BatchNorm(weight, bias, draft.buffer(mean), draft.buffer(variance), momentum, module.eps),)


def _group_norm(module: nn.GroupNorm, draft: Draft) -> tuple[Layer, ...]:
    weight, bias = draft.optional(module.weight), draft.optional(module.bias)
    return (layers.GroupNorm(weight, bias, module.num_groups, module.eps),)


def _layer_norm(module: nn.LayerNorm, draft: Draft) -> tuple[Layer, ...]:
    weight, bias = draft.optional(module.weight), draft.optional(module.bias)
    return (layers.LayerNorm(weight, bias, tuple(module.normalized_shape), module.eps),)


def _embedding(module: nn.Embedding, draft: Draft) -> tuple[Layer, ...]:
    if module.padding_idx is not None or module.max_norm is not None or module.scale_grad_by_freq or module.sparse:
        raise UnsuitedError("Embedding with padding_idx, max_norm, scale_grad_by_freq or sparse")
    return (layers.Embedding(draft.parameter(module.weight)),)


def _max_pool(module: nn.MaxPool2d, draft: Draft) -> tuple[Layer, ...]:
    if module.return_indices:
        raise UnsuitedError("MaxPool2d that returns indices")
    return (layers.MaxPool2d(module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode),)


def _avg_pool(module: nn.AvgPool2d, draft: Draft) -> tuple[Layer, ...]:
    return (
        layers.AvgPool2d(
            module.kernel_size,
            module.stride,
            module.padding,
            module.ceil_mode,
            module.count_include_pad,
            module.divisor_override,
        ),
    )


def _elementwise(function: Callable[[Tensor], Tensor]) -> Converter:
    return lambda module, draft: (layers.Elementwise(function),)


CONVERTERS: Mapping[type[nn.Module], Converter] = {
    nn.Flatten: _flatten,
    nn.Linear: lambda module, draft: (linear(module, draft),),
    nn.ReLU: _elementwise(torch.relu),
    nn.Tanh: _elementwise(torch.tanh),
    nn.Sigmoid: _elementwise(torch.sigmoid),
    nn.SiLU: _elementwise(nn.functional.silu),
    nn.GELU: lambda module, draft: (layers.Gelu(module.approximate),),
    nn.Conv2d: _conv2d,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
    nn.Embedding: _embedding,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: lambda module, draft: (layers.AdaptiveAvgPool2d(module.output_size),),
    Dropout: lambda module, draft: (layers.Dropout(module.number, module.p),),
    nn.Identity: lambda module, draft: (),
}
