"""Classification: a dataset and a model that fit each other, cross entropy, loss and accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from worker.tasks.task import Data, TaskError

Kind = Literal["image", "tokens"]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model has to fit: the kind and shape of one example, and the number of classes.

    `image`: float32 [channels, height, width], one class per image. `tokens`: int64 [length], a class per position, and
    the classes are the tokens.
    """

    shape: tuple[int, ...]
    classes: int
    kind: Kind = "image"

    def __str__(self) -> str:
        return f"{self.kind} {list(self.shape)}"


Refusal = str | None
"""None, or the reason why not, in words that follow a name and a colon."""


def here() -> Refusal:
    """What a dataset says of its files when it needs none, or brings them."""
    return None


def reads_images(signature: Signature) -> Refusal:
    """The rule of most models: anything but tokens."""
    return None if signature.kind == "image" else f"reads images, got {signature}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named dataset. `load` is called once per process; `missing` says, without loading, why it is not to be had."""

    name: str
    signature: Signature
    load: Callable[[], Data]
    missing: Callable[[], Refusal] = here


@dataclass(frozen=True, slots=True)
class Model:
    """A named architecture. `build` draws its weights from torch's global generator; `misfit`: why it cannot read."""

    name: str
    build: Callable[[Signature], nn.Module]
    misfit: Callable[[Signature], Refusal] = reads_images


@lru_cache(maxsize=4)
def loaded(dataset: Dataset) -> Data:
    """The dataset in main memory, one copy for all its models."""
    return dataset.load()


@dataclass(frozen=True, slots=True)
class Classification:
    """A dataset of images and a model as a task."""

    dataset: Dataset
    architecture: Model

    def __post_init__(self) -> None:
        if (refusal := self.architecture.misfit(self.dataset.signature)) is not None:
            raise TaskError(f"{self.key}: {self.architecture.name} {refusal}")

    @property
    def key(self) -> str:
        return f"{self.dataset.name}/{self.architecture.name}"

    def data(self) -> Data:
        return loaded(self.dataset)

    def model(self) -> nn.Module:
        return self.architecture.build(self.dataset.signature)

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        return functional.cross_entropy(outputs, targets, label_smoothing=label_smoothing)

    def combined(self, outputs: Tensor) -> Tensor:
        """The logarithm of the mean of the models' probabilities."""
        return functional.log_softmax(outputs, dim=-1).logsumexp(dim=0) - math.log(len(outputs))

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {
            "loss": functional.cross_entropy(outputs, targets, reduction="sum"),
            "accuracy": (outputs.argmax(dim=-1) == targets).sum(),
        }
