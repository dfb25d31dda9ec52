"""The dataset `sample_patches`: which of scikit-learn's two photographs a patch is from, and how it was turned."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.tasks.classification import Dataset, Signature
from worker.tasks.pixels import NATURAL, standardised
from worker.tasks.task import Data, Split

SIDE, STRIDE, BLOCK = 32, 16, 64
TURNS = 4


def load() -> Data:
    """Patches of 32 x 32 pixels, each in four orientations: class 4 * photograph + quarter turns.

    A photograph of 427 x 640 pixels is cut into 6 x 10 blocks of 64 x 64 that share no pixel, and a block into nine
    patches, 16 pixels apart. Block (row, column) is in the part of (3 * row + column) mod 5: 0, 1, 2 train, 3
    validation, 4 test; so all patches of a block, and the four orientations of a patch, are in one part.
    """
    # Imported here: it takes longer than all the rest of a worker, and other datasets do without it.
    from sklearn.datasets import load_sample_images

    parts: dict[int, list[tuple[Tensor, int]]] = {part: [] for part in range(5)}
    for number, image in enumerate(load_sample_images().images):
        for part, patch in _patches(image):
            parts[part] += [(torch.rot90(patch, turn, (1, 2)), TURNS * number + turn) for turn in range(TURNS)]
    return Data(_split(parts[0] + parts[1] + parts[2]), _split(parts[3]), _split(parts[4]))


def _patches(image: NDArray[np.uint8]) -> list[tuple[int, Tensor]]:
    """Each patch, bytes [3, 32, 32], with the number of its part."""
    pixels = torch.tensor(image).permute(2, 0, 1)
    _, height, width = pixels.shape
    found: list[tuple[int, Tensor]] = []
    for row in range(height // BLOCK):
        for column in range(width // BLOCK):
            block = pixels[:, row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
            cut = block.unfold(1, SIDE, STRIDE).unfold(2, SIDE, STRIDE).flatten(1, 2)
            found += [((3 * row + column) % 5, patch) for patch in cut.unbind(1)]
    return found


def _split(examples: list[tuple[Tensor, int]]) -> Split:
    images = torch.stack([patch for patch, _ in examples])
    return Split(standardised(images, *NATURAL), torch.tensor([label for _, label in examples]))


SAMPLE_PATCHES = Dataset("sample_patches", Signature(shape=(3, SIDE, SIDE), classes=2 * TURNS), load)
