"""The built-in architectures `mlp` and `cnn`."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from worker.tasks.classification import Model, Refusal, Signature, reads_images


def mlp(signature: Signature) -> nn.Module:
    """One hidden layer of 128: on digits 64-128-10, 9,610 parameters."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(signature.shape), 128),
        nn.ReLU(),
        nn.Linear(128, signature.classes),
    )


def cnn(signature: Signature) -> nn.Module:
    """Three 3 x 3 convolutions with batch normalisation (16, 32, 32 channels), pooling, and a linear layer."""
    channels = signature.shape[0]
    return nn.Sequential(
        *_block(channels, 16),
        *_block(16, 32),
        nn.MaxPool2d(2),
        *_block(32, 32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, signature.classes),
    )


def at_least(side: int) -> Callable[[Signature], Refusal]:
    """The rule of a model that pools or strides: images whose height and width are no smaller."""

    def misfit(signature: Signature) -> Refusal:
        if (refusal := reads_images(signature)) is not None:
            return refusal
        if len(signature.shape) != 3 or min(signature.shape[1:]) < side:
            return f"reads images [channels, height >= {side}, width >= {side}], got {signature}"
        return None

    return misfit


def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    # The normalisation has its own shift, so the convolution's would be a parameter without effect.
    return (nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


MLP = Model("mlp", mlp)
CNN = Model("cnn", cnn, at_least(4))
