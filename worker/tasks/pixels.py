"""From bytes to what models read: images with the mean and the deviation of each channel taken out."""

from __future__ import annotations

import torch
from torch import Tensor

NATURAL = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's training pixels, the custom for photographs that have no statistics of their own."""


def standardised(images: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    """Bytes [n, channels, height, width] as float32, per channel (pixel / 255 - mean) / deviation."""
    scaled = images.float().div_(255)
    return scaled.sub_(torch.tensor(mean).view(-1, 1, 1)).div_(torch.tensor(deviation).view(-1, 1, 1)).contiguous()
