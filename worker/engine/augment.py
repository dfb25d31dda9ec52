"""Augmentation of training images: batched tensor code on whatever device they are, told by luck what to do."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from worker.engine.augmentation import Augmentation, Resizing
from worker.engine.job import Job
from worker.engine.plan import FORTUNE, Horizon, PlanError
from worker.tasks import Split

EVER = 2**62
"""Updates; more than anybody makes."""

DRAWS = 5
"""Numbers of luck for an image: its shift down and to the right, whether it is flipped, and where the square is cut."""


class Augment:
    """What a job does to its training images: a pure function of the image, its luck and the step's height.

    `sizes`: the height of the images of each step, int [T]; None: as they are.
    """

    def __init__(self, wanted: Augmentation, images: Tensor, horizon: Horizon) -> None:
        """`images`: some of those to come. Raises PlanError when they cannot be treated so."""
        if images.dim() != 4 or not images.is_floating_point():
            kind = f"{str(images.dtype).removeprefix('torch.')} {list(images.shape[1:])}"
            raise PlanError(f"augmentation: need images [channels, height, width] to train on, got {kind}")
        self._wanted = wanted
        height, width = self._whole = images.shape[-2:]
        if wanted.crop >= min(height, width):
            raise PlanError(f"augmentation.crop: need less than the sides {height} x {width}, got {wanted.crop}")
        self.sizes = None if wanted.resizing is None else sizes(wanted.resizing, height, horizon)

    def height(self, step: int) -> int:
        """Of the images of update `step`."""
        return self._whole[0] if self.sizes is None else int(self.sizes[step])

    def even(self, step: int) -> int:
        """For how many updates from `step` on the height stays."""
        if self.sizes is None:
            return EVER
        later = np.flatnonzero(self.sizes[step:] != self.sizes[step])
        return int(later[0]) if len(later) else EVER

    def __call__(self, images: Tensor, luck: Tensor, height: int) -> Tensor:
        """Of images [..., C, H, W] and luck [..., DRAWS], at the height of the update about to be made."""
        *front, channels, high, wide = images.shape
        pixels, luck = images.reshape(-1, channels, high * wide), luck.reshape(-1, DRAWS, 1)
        if self._wanted.crop or self._wanted.flip:
            places = self._sources(luck).view(-1, 1, high * wide)
            pixels = pixels.gather(2, places.expand(-1, channels, -1))
        if self._wanted.cutout:
            pixels = pixels.masked_fill(self._square(luck).view(-1, 1, high * wide), 0.0)
        made = self._sized(pixels.view(-1, channels, high, wide), height)
        return made.view(*front, *made.shape[1:])

    def _sources(self, luck: Tensor) -> Tensor:
        """From which place of the image each pixel comes, [n, H, W]."""
        (height, width), crop = self._whole, self._wanted.crop
        down, right, side = luck[:, 0], luck[:, 1], luck[:, 2]
        rows = torch.arange(height, device=luck.device) + _below(down, 2 * crop + 1) - crop
        columns = torch.arange(width, device=luck.device)
        if self._wanted.flip:
            columns = torch.where(side < FORTUNE // 2, width - 1 - columns, columns)
        columns = columns + _below(right, 2 * crop + 1) - crop
        return _mirrored(rows, height).unsqueeze(2) * width + _mirrored(columns, width).unsqueeze(1)

    def _square(self, luck: Tensor) -> Tensor:
        """The pixels that are cut out, [n, H, W]."""
        down, right = (
            self._stretch(centre, length) for centre, length in zip((luck[:, 3], luck[:, 4]), self._whole, strict=True)
        )
        return down.unsqueeze(2) & right.unsqueeze(1)

    def _stretch(self, centre: Tensor, length: int) -> Tensor:
        """Of each image the places that the square covers along one side, [n, length]; it may hang over the border."""
        first = _below(centre, length) - self._wanted.cutout // 2
        places = torch.arange(length, device=centre.device)
        return (places >= first) & (places < first + self._wanted.cutout)

    def _sized(self, images: Tensor, height: int) -> Tensor:
        if height == self._whole[0]:
            return images
        return functional.interpolate(
            images, size=self.size(height), mode="bilinear", align_corners=False, antialias=True
        )

    def size(self, height: int) -> tuple[int, int]:
        """Height and width, in the proportions of the whole image."""
        return height, max(1, round(self._whole[1] * height / self._whole[0]))


def augment(job: Job, images: Tensor, horizon: Horizon) -> Augment | None:
    """What the job does to training images like these; None: nothing. Raises PlanError."""
    return None if job.augmentation is None else Augment(job.augmentation, images, horizon)


def sizes(wanted: Resizing, height: int, horizon: Horizon) -> NDArray[np.int64]:
    """The height of the images of each step, [T]. Raises PlanError when `wanted` does not fit."""
    start, end = (span.steps(horizon.total_steps, horizon.steps_per_epoch) for span in (wanted.start, wanted.end))
    if start > end:
        raise PlanError(f"augmentation.resizing.end: need no less than start, got {wanted.end} after {wanted.start}")
    if wanted.multiple > wanted.initial * height:
        raise PlanError(
            f"augmentation.resizing.multiple: need at most {wanted.initial:g} of the images' height {height}, "
            f"got {wanted.multiple}"
        )
    steps = np.arange(horizon.total_steps)
    grown = np.clip((steps - start) / max(end - start, 1), 0.0, 1.0)
    partly = (wanted.initial + (1 - wanted.initial) * grown) * height
    stepped = np.floor(partly / wanted.multiple).astype(np.int64) * wanted.multiple
    return np.where(steps >= end, height, np.minimum(stepped, height))


@torch.no_grad()
def check_sizes(model: nn.Module, treated: Augment | None, train: Split) -> None:
    """Raises PlanError when the model cannot read images of all the sizes to come."""
    if treated is None or treated.sizes is None:
        return
    was, some = model.training, next(model.parameters())
    model.eval()
    for height in np.unique(treated.sizes).tolist():
        size = treated.size(height)
        try:
            model(some.new_zeros(1, train.inputs.shape[1], *size))
        except Exception as error:  # whatever torch or the user's code trips over
            first = str(error).partition("\n")[0]
            raise PlanError(
                f"augmentation.resizing: need a model that reads images of every size, "
                f"but at {size[0]} x {size[1]} pixels it raises {type(error).__name__}: {first}"
            ) from error
    model.train(was)


def _below(luck: Tensor, count: int) -> Tensor:
    """Whole numbers 0 <= n < count, each as likely as any other up to count / FORTUNE."""
    return luck * count // FORTUNE


def _mirrored(places: Tensor, length: int) -> Tensor:
    """Places beyond the border as those before it."""
    return (length - 1) - ((length - 1) - places.abs()).abs()
