"""Datasets `imagefolder.NAME`: a folder of images per class, in the data folder under imagefolder/NAME."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from worker.tasks.classification import Dataset, Refusal, Signature
from worker.tasks.pixels import NATURAL, standardised
from worker.tasks.task import Data, Split, TaskError

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDER, PREFIX = "imagefolder", "imagefolder."
NAMED = re.compile(r"[A-Za-z0-9_.+-]{1,52}")
SIDED = re.compile(r"-([1-9][0-9]{0,3})px$")
SIDE = 64
"""Pixels of an image's sides, unless the folder's name ends in its own, as `flowers-128px` does."""

EVERY = 10
PARTS = ("train", "val", "test")


def datasets(folder: Path | None) -> list[Dataset]:
    """One for each folder in `folder`/imagefolder; only looks at names, opens no image."""
    place = folder / FOLDER if folder is not None else None
    if place is None or not place.is_dir():
        return []
    found = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [_dataset(path) for path in found]


def _dataset(root: Path) -> Dataset:
    match = SIDED.search(root.name)
    side = int(match[1]) if match else SIDE
    signature = Signature(shape=(3, side, side), classes=max(2, len(_classes(_training(root)))))
    return Dataset(PREFIX + root.name, signature, partial(load, root, side), partial(missing, root))


def _training(root: Path) -> Path:
    return root / "train" if (root / "train").is_dir() else root


def _classes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def missing(root: Path) -> Refusal:
    """What is wrong with the folder, as far as names tell."""
    if not NAMED.fullmatch(root.name):
        return f"needs a folder name of at most 52 letters, digits and _ . + -, got {root.name!r}"
    training = _training(root)
    classes = _classes(training)
    if len(classes) < 2:
        return f"needs a folder per class, at least two, in {training}, got {classes}"
    for part in PARTS[1:]:
        if training != root and (root / part).is_dir() and _classes(root / part) != classes:
            return f"needs the classes of train/ in {part}/ too, got {_classes(root / part)} for {classes}"
    return None


def load(root: Path, side: int) -> Data:
    """Images scaled to `side` along their shorter side and cut to the square in the middle, in RGB.

    Without val/, every tenth file of a class in train/, the 9th, 19th, ... by name, is validated on instead; without
    test/, the 10th, 20th, ... is tested on. Without train/, the classes lie in the folder itself.
    """
    if (refusal := missing(root)) is not None:
        raise TaskError(f"{PREFIX}{root.name}: {refusal}")
    names = _classes(_training(root))
    given = {
        part: _files(root / part, names) for part in PARTS[1:] if _training(root) != root and (root / part).is_dir()
    }
    taken: dict[str, list[tuple[Path, int]]] = {part: list(files) for part, files in given.items()}
    taken["train"] = []
    for path, label, number in _numbered(_files(_training(root), names)):
        part = {EVERY - 2: "val", EVERY - 1: "test"}.get(number % EVERY, "train")
        taken.setdefault(part if part not in given else "train", []).append((path, label))
    return Data(*(_split(root, part, taken.get(part, []), side) for part in PARTS))


def _files(folder: Path, names: list[str]) -> list[tuple[Path, int]]:
    """The image files of each class, by name; those torchvision's ImageFolder would read."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    return [
        (path, label)
        for label, name in enumerate(names)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in IMG_EXTENSIONS
    ]


def _numbered(files: list[tuple[Path, int]]) -> list[tuple[Path, int, int]]:
    """Each file with its number, from 0, within its class."""
    counts: dict[int, int] = {}
    numbered: list[tuple[Path, int, int]] = []
    for path, label in files:
        numbered.append((path, label, counts.get(label, 0)))
        counts[label] = counts.get(label, 0) + 1
    return numbered


def _split(root: Path, part: str, files: list[tuple[Path, int]], side: int) -> Split:
    if not files:
        raise TaskError(
            f"{PREFIX}{root.name}: no image for {part}: need files in {part}/, or {EVERY} in a class of train/"
        )
    images = torch.stack([_read(path, side) for path, _ in files])
    return Split(standardised(images, *NATURAL), torch.tensor([label for _, label in files]))


def _read(path: Path, side: int) -> Tensor:
    """Bytes [3, side, side]."""
    from torchvision.datasets.folder import pil_loader
    from torchvision.transforms.v2.functional import center_crop, resize

    try:
        image: Image = pil_loader(str(path))
    except OSError as error:  # what Pillow raises for a file that is no image, too
        raise TaskError(f"{path}: cannot be read as an image: {error}") from error
    square = center_crop(resize(image, [side]), [side, side])
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)
