"""How the modules of the built-in architectures become layers of a batched model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from worker.engine.lanes import composites, layers
from worker.engine.lanes.draft import Converter, Draft
from worker.engine.lanes.flow import Layer
from worker.engine.lanes.known_layers import linear
from worker.tasks import resnet, transformers


def _residual_block(module: resnet.ResidualBlock, draft: Draft) -> tuple[Layer, ...]:
    relu = layers.Elementwise(torch.relu)
    inner = (*draft.layers(module.conv1), *draft.layers(module.norm1), relu)
    outer = (*draft.layers(module.conv2), *draft.layers(module.norm2))
    shortcut = (composites.Subsample(2, module.padding),) if module.padding else ()
    return composites.Residual((*inner, *outer), shortcut), relu


def _attention(module: transformers.Attention, draft: Draft) -> tuple[Layer, ...]:
    qkv, out = linear(module.qkv, draft), linear(module.out, draft)
    return (composites.Attention(qkv, out, transformers.HEADS, module.causal),)


def _block(module: transformers.Block, draft: Draft) -> tuple[Layer, ...]:
    attention = (*draft.layers(module.norm1), *draft.layers(module.attention))
    mlp = (*draft.layers(module.norm2), *draft.layers(module.mlp))
    return composites.Residual(attention), composites.Residual(mlp)


def _vision_transformer(module: transformers.VisionTransformer, draft: Draft) -> tuple[Layer, ...]:
    embedding = module.embedding
    assert embedding.bias is not None  # a convolution of our own
    weight = draft.parameter(embedding.weight, lambda tensor: tensor.flatten(1))
    return (
        composites.Patches(weight, draft.parameter(embedding.bias), embedding.kernel_size[0]),
        composites.Positions(draft.parameter(module.position)),
        *draft.layers(module.blocks),
        *draft.layers(module.norm),
        composites.MeanOfTokens(),
        *draft.layers(module.head),
    )


def _decoder(module: transformers.Decoder, draft: Draft) -> tuple[Layer, ...]:
    return (
        *draft.layers(module.embedding),
        composites.Positions(draft.parameter(module.position)),
        *draft.layers(module.blocks),
        *draft.layers(module.norm),
        *draft.layers(module.head),
    )


CONVERTERS: Mapping[type[nn.Module], Converter] = {
    resnet.ResidualBlock: _residual_block,
    transformers.Attention: _attention,
    transformers.Block: _block,
    transformers.VisionTransformer: _vision_transformer,
    transformers.Decoder: _decoder,
}
