"""What a training task is: data, a model, a loss and the metrics that are reported."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class TaskError(ValueError):
    """A task, dataset or model that cannot be registered, is not registered, or cannot be provided on this machine."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Examples and their targets; row i of one belongs to row i of the other."""

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets) or not len(self.inputs):
            raise ValueError(
                f"inputs, targets: need equally many rows, at least one, got {len(self.inputs)}, {len(self.targets)}"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Split:
        """`dtype` is what inputs of floating point become; None leaves them."""
        kind = dtype if self.inputs.is_floating_point() else None
        return Split(self.inputs.to(device=device, dtype=kind), self.targets.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """The three parts: `train` is learned from, `validation` steers the search, `test` is read once, at the end."""

    train: Split
    validation: Split
    test: Split

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Data:
        return Data(*(part.to(device, dtype) for part in (self.train, self.validation, self.test)))


@runtime_checkable
class Task(Protocol):
    """What can be trained. The object must be hashable (a plain class is), and its methods must not depend on order."""

    def __hash__(self) -> int: ...

    @property
    def key(self) -> str:
        """The registered name, `dataset/model`."""
        ...

    def data(self) -> Data:
        """The data, in main memory; engines keep a copy on their device."""
        ...

    def model(self) -> nn.Module:
        """A fresh model on the CPU; its weights come from torch's global generator, which the engine has seeded."""
        ...

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        """The mean training loss of a batch, a scalar."""
        ...

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Metrics summed over the examples of a batch, scalars; `loss` (without smoothing) must be among them."""
        ...


@dataclass(frozen=True, slots=True)
class StepContext:
    """Where training stands: `step` is the 0-based index of the update about to be made, with the rate `lr`."""

    step: int
    total_steps: int
    steps_per_epoch: int
    lr: float
    label_smoothing: float


@runtime_checkable
class Stepping(Protocol):
    """A task that makes its updates itself, where `loss` alone does not say them: trained one at a time, by solo."""

    def step(self, model: nn.Module, optimizer: Optimizer, batch: Split, context: StepContext) -> Tensor:
        """Make one update with the optimizer, whose rate and momentum are set; the training loss before it, a scalar.

        The model is in training mode. What is remembered between updates belongs in buffers of the model or in the
        optimizer's state, as tensors: these are in the checkpoints. Random numbers come from torch's global generator.
        """
        ...


@runtime_checkable
class Ensembling(Protocol):
    """A task whose models can be asked together: needed for ensembles only."""

    def combined(self, outputs: Tensor) -> Tensor:
        """One model's outputs in the place of those of several, [models, batch, ...]; `metrics` are taken of it."""
        ...


def resident(task: Task, device: torch.device, dtype: torch.dtype | None = None) -> Data:
    """The task's data on the device, moved there once; tasks that return the same `Data` share the copy.

    `dtype` as in `Split.to`.
    """
    return _moved(task.data(), device, dtype)


@lru_cache(maxsize=8)
def _moved(data: Data, device: torch.device, dtype: torch.dtype | None) -> Data:
    return data.to(device, dtype)
