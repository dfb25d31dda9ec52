"""Every image classifier of torchvision as an architecture `torchvision.NAME`, untrained; torchvision is imported when
one is built.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from worker.tasks.classification import Model, Refusal, Signature, reads_images
from worker.tasks.task import TaskError

PREFIX = "torchvision."

# By name and not asked of torchvision: importing it takes longer than all the rest of a worker's start.
NAMES = (
    *("alexnet", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
    *(f"efficientnet_b{size}" for size in range(8)),
    *("efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t"),
    *("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    *("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
    *(f"regnet_{kind}_{size}" for kind in "xy" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
    *("regnet_y_128gf", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    *("squeezenet1_0", "squeezenet1_1", "swin_b", "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t"),
    *("vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    *("vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32", "wide_resnet50_2", "wide_resnet101_2"),
)

SMALLEST = 32
SMALLEST_OF = {"alexnet": 64, "inception_v3": 75}
"""Sides in pixels below which nothing is left of the image after the last pooling."""

MULTIPLE_OF = {"vit_b_16": 16, "vit_b_32": 32, "vit_h_14": 14, "vit_l_16": 16, "vit_l_32": 32, "maxvit_t": 224}
"""Sides must be a multiple: of the patch, and for MaxViT of what its four stages and its windows of 7 divide."""


def misfit(signature: Signature, *, name: str) -> Refusal:
    """Square colour images, large enough for the architecture."""
    if (refusal := reads_images(signature)) is not None:
        return refusal
    shape, smallest, multiple = signature.shape, SMALLEST_OF.get(name, SMALLEST), MULTIPLE_OF.get(name, 1)
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
        return f"reads square images of 3 channels, got {signature}"
    if shape[1] < smallest or shape[1] % multiple:
        sides = f"{smallest} pixels or more" if multiple == 1 else f"a multiple of {multiple} pixels"
        return f"reads images with sides of {sides}, got {signature}"
    return None


def build(signature: Signature, *, name: str) -> nn.Module:
    """The architecture with its own initial weights and `signature.classes` outputs; no auxiliary heads."""
    from torchvision import models

    options: dict[str, object] = {"num_classes": signature.classes}
    if name.startswith("vit_"):
        options["image_size"] = signature.shape[-1]
    elif name == "maxvit_t":
        options["input_size"] = signature.shape[1:]
    elif name in {"googlenet", "inception_v3"}:
        options |= {"aux_logits": False, "init_weights": True}
    try:
        model: nn.Module = models.get_model(name, weights=None, **options)
    except ValueError as error:
        raise TaskError(f"{PREFIX}{name}: the installed torchvision cannot build it: {error}") from error
    return model


ZOO = [Model(PREFIX + name, partial(build, name=name), partial(misfit, name=name)) for name in NAMES]
