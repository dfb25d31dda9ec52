"""The built-in architectures `resnet20` and `resnet38`: residual networks in their CIFAR form."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from worker.tasks.classification import Model, Signature
from worker.tasks.models import at_least

WIDTHS = (16, 32, 64)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut without parameters: where the block halves the image and doubles the
    channels, the shortcut takes every second pixel and pads the new channels with zeros (option A of the source).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.padding = outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=self.stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, images: Tensor) -> Tensor:
        out = functional.relu(self.norm1(self.conv1(images)))
        out = self.norm2(self.conv2(out))
        if self.padding:
            images = functional.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.padding))
        return functional.relu(out + images)


def resnet(signature: Signature, *, depth: int) -> nn.Module:
    """He et al. 2016 (arXiv:1512.03385), section 4.2: 6n + 2 layers, n blocks each of 16, 32 and 64 channels.

    On 3 x 32 x 32 images of 10 classes: 269,722 parameters at depth 20.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(signature.shape[0], WIDTHS[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(WIDTHS[0]),
        nn.ReLU(),
    ]
    inputs = WIDTHS[0]
    for outputs in WIDTHS:
        for _ in range((depth - 2) // 6):
            layers.append(ResidualBlock(inputs, outputs))
            inputs = outputs
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, signature.classes))
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return model


RESNET20 = Model("resnet20", partial(resnet, depth=20), at_least(8))
RESNET38 = Model("resnet38", partial(resnet, depth=38), at_least(8))
