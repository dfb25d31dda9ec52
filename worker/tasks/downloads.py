"""The datasets `mnist`, `fashion_mnist`, `cifar10` and `cifar100`, read by torchvision from the data folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from worker.tasks.classification import Dataset, Refusal, Signature
from worker.tasks.pixels import standardised
from worker.tasks.task import Data, Split, TaskError

if TYPE_CHECKING:
    from torchvision.datasets import VisionDataset

EVERY = 10
"""Every tenth row of the official training set, 9, 19, 29, ..., is validated on instead: the files are in no order of
class, so the parts hold the classes alike. The official test set is the test part.
"""

IDX_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


@dataclass(frozen=True, slots=True)
class Source:
    """Where torchvision keeps a dataset, and the mean and standard deviation of its training pixels per channel."""

    reader: str
    files: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def read(self, folder: Path, *, train: bool, download: bool = False) -> VisionDataset:
        from torchvision import datasets

        read: Callable[..., VisionDataset] = getattr(datasets, self.reader)
        return read(folder, train=train, download=download)


CIFAR10_FILES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")

SOURCES = {
    "mnist": Source("MNIST", tuple(f"MNIST/raw/{file}" for file in IDX_FILES), (0.1307,), (0.3081,)),
    "fashion_mnist": Source(
        "FashionMNIST", tuple(f"FashionMNIST/raw/{file}" for file in IDX_FILES), (0.2860,), (0.3530,)
    ),
    "cifar10": Source(
        "CIFAR10",
        tuple(f"cifar-10-batches-py/{file}" for file in CIFAR10_FILES),
        (0.4914, 0.4822, 0.4465),
        (0.2470, 0.2435, 0.2616),
    ),
    "cifar100": Source(
        "CIFAR100",
        tuple(f"cifar-100-python/{file}" for file in ("train", "test", "meta")),
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
    ),
}
SIGNATURES = {
    "mnist": Signature(shape=(1, 28, 28), classes=10),
    "fashion_mnist": Signature(shape=(1, 28, 28), classes=10),
    "cifar10": Signature(shape=(3, 32, 32), classes=10),
    "cifar100": Signature(shape=(3, 32, 32), classes=100),
}


def datasets(folder: Path | None) -> list[Dataset]:
    """The four, each there or missing as the files in `folder` say."""
    return [
        Dataset(name, SIGNATURES[name], partial(load, name, folder), partial(missing, name, folder)) for name in SOURCES
    ]


def missing(name: str, folder: Path | None) -> Refusal:
    """Which file is lacking, and how to get it; only looks whether the files exist."""
    get = f"on a machine with network: switchback worker --list-tasks --data FOLDER --download {name}"
    if folder is None:
        return f"needs a data folder: --data FOLDER or SWITCHBACK_DATA. To fill one, {get}"
    absent = [file for file in SOURCES[name].files if not (folder / file).is_file()]
    if absent:
        return f"needs {len(absent)} more files in {folder}, the first of them {absent[0]}. To get them, {get}"
    return None


def fetch(name: str, folder: Path | None) -> None:
    """Download the dataset's files into the folder, where they are not there yet. Raises TaskError when it cannot."""
    if name not in SOURCES:
        raise TaskError(f"download: need one of {', '.join(SOURCES)}, got {name!r}")
    if folder is None:
        raise TaskError(f"download: {name} needs a folder to go to; give it with --data FOLDER")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        SOURCES[name].read(folder, train=True, download=True)
    except (OSError, RuntimeError) as error:
        raise TaskError(f"download: {name} cannot be fetched into {folder}: {error}") from error


def load(name: str, folder: Path | None) -> Data:
    """Pixels with the mean and deviation of the training set taken out, float32 [n, channels, height, width]."""
    if folder is None or missing(name, folder) is not None:
        raise TaskError(f"{name}: {missing(name, folder)}")
    try:
        train, test = (_part(name, folder, train=part) for part in (True, False))
    except (OSError, RuntimeError, ValueError, AssertionError, KeyError) as error:
        raise TaskError(f"{name}: the files in {folder} cannot be read: {error}. Delete and get them anew") from error
    rows = torch.arange(len(train))
    held_out = rows % EVERY == EVERY - 1
    return Data(
        Split(train.inputs[~held_out], train.targets[~held_out]),
        Split(train.inputs[held_out], train.targets[held_out]),
        test,
    )


def _part(name: str, folder: Path, *, train: bool) -> Split:
    source, shape = SOURCES[name], SIGNATURES[name].shape
    found = source.read(folder, train=train)
    pixels = torch.from_numpy(np.ascontiguousarray(found.data))
    images = pixels.permute(0, 3, 1, 2) if pixels.dim() == 4 else pixels.unsqueeze(1)
    if images.shape[1:] != shape:
        raise ValueError(f"need images of shape {list(shape)}, got {list(images.shape[1:])}")
    return Split(standardised(images, source.mean, source.deviation), torch.as_tensor(found.targets).long())
