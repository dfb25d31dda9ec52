"""The dataset `sample_patches`: which area of which of scikit-learn's two photographs a patch is from."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.tasks.classification import Dataset, Signature
from worker.tasks.pixels import NATURAL, standardised
from worker.tasks.task import Data, Split

SIDE, STRIDE, BLOCK = 32, 8, 64
BANDS, HALVES = 3, 2


def load() -> Data:
    """Patches of 32 x 32 pixels; class 6 * photograph + 2 * band + half.

    A photograph of 427 x 640 pixels is cut into 6 x 10 blocks of 64 x 64 that share no pixel, and a block into 25
    patches, 8 pixels apart. Two rows of blocks are a band, five columns a half: six areas. Block (row, column) is in
    the part of (3 * row + column) mod 5: 0, 1, 2 train, 3 validation, 4 test. So every part sees every area equally
    often, and all patches of a block are in one part: none shares a pixel with one of another part.
    """
    # Imported here: it takes longer than all the rest of a worker, and other datasets do without it.
    from sklearn.datasets import load_sample_images

    parts: dict[int, list[tuple[Tensor, int]]] = {part: [] for part in range(5)}
    for number, image in enumerate(load_sample_images().images):
        for row, column in product(range(2 * BANDS), range(5 * HALVES)):
            label = (number * BANDS + row // 2) * HALVES + column // 5
            parts[(3 * row + column) % 5] += [(patch, label) for patch in _patches(image, row, column)]
    return Data(_split(parts[0] + parts[1] + parts[2]), _split(parts[3]), _split(parts[4]))


def _patches(image: NDArray[np.uint8], row: int, column: int) -> tuple[Tensor, ...]:
    """The patches of a block, bytes [3, 32, 32]."""
    cut = image[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
    pixels = torch.tensor(cut).permute(2, 0, 1)
    return pixels.unfold(1, SIDE, STRIDE).unfold(2, SIDE, STRIDE).flatten(1, 2).unbind(1)


def _split(examples: list[tuple[Tensor, int]]) -> Split:
    images = torch.stack([patch for patch, _ in examples])
    return Split(standardised(images, *NATURAL), torch.tensor([label for _, label in examples]))


SAMPLE_PATCHES = Dataset("sample_patches", Signature(shape=(3, SIDE, SIDE), classes=2 * BANDS * HALVES), load)
