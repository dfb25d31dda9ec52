"""Classification: any registered dataset with any registered model, cross entropy, loss and accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from worker.tasks.task import Data


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model has to fit: the shape of one example, and the number of classes."""

    shape: tuple[int, ...]
    classes: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named classification dataset; `load` is called once per task and process."""

    name: str
    signature: Signature
    load: Callable[[], Data]


@dataclass(frozen=True, slots=True)
class Model:
    """A named architecture; `build` draws its weights from torch's global generator."""

    name: str
    build: Callable[[Signature], nn.Module]


@dataclass(frozen=True, slots=True)
class Classification:
    """A dataset and a model as a task."""

    dataset: Dataset
    architecture: Model

    @property
    def key(self) -> str:
        return f"{self.dataset.name}/{self.architecture.name}"

    def data(self) -> Data:
        return self.dataset.load()

    def model(self) -> nn.Module:
        return self.architecture.build(self.dataset.signature)

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        return functional.cross_entropy(outputs, targets, label_smoothing=label_smoothing)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {
            "loss": functional.cross_entropy(outputs, targets, reduction="sum"),
            "accuracy": (outputs.argmax(dim=-1) == targets).sum(),
        }
