"""The training loss of K lanes at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from worker.tasks import Classification, LanguageModelling, Task

PLAIN = {Classification.loss, LanguageModelling.loss}


class Criterion(Protocol):
    """Losses [K] of outputs [K, B, ...], each lane's to be divided by `terms` for its mean."""

    @property
    def terms(self) -> int: ...

    def __call__(self, outputs: Tensor, targets: Tensor, *, one_batch: bool) -> Tensor:
        """`one_batch`: the targets are [B, ...], the same for all lanes; else [K, B, ...]."""
        ...


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """Over the last dimension of the outputs, summed over all others. See `Criterion`."""

    label_smoothing: float
    terms: int

    def __call__(self, outputs: Tensor, targets: Tensor, *, one_batch: bool) -> Tensor:
        lanes = len(outputs)
        each = functional.cross_entropy(
            outputs.flatten(0, -2),
            (targets.expand(lanes, *targets.shape) if one_batch else targets).flatten(),
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        return each.view(lanes, -1).sum(dim=1)

    def slopes(self, scores: Tensor, targets: Tensor, *, one_batch: bool) -> tuple[Tensor, Tensor]:
        """Of scores [K, classes, B]: losses [K] as above, and the gradient of the sum of the lanes' means."""
        (lanes, classes, size), smoothing = scores.shape, self.label_smoothing
        logs, place = scores.log_softmax(dim=1), (targets.expand(lanes, size) if one_batch else targets).unsqueeze(1)
        each = logs.gather(1, place)
        if smoothing:
            each = each.mul_(1 - smoothing).add_(logs.mean(dim=1, keepdim=True), alpha=smoothing)
        losses, slope = each.flatten(1).sum(dim=1).neg_(), logs.exp_()
        if smoothing:
            slope.sub_(smoothing / classes)
        slope.scatter_add_(1, place, slope.new_full((1, 1, 1), smoothing - 1).expand_as(place))
        return losses, slope.div_(self.terms)


@dataclass(frozen=True, slots=True)
class Own:
    """The task's own loss, by `torch.func`. See `Criterion`."""

    task: Task
    label_smoothing: float
    terms: int = 1

    def __call__(self, outputs: Tensor, targets: Tensor, *, one_batch: bool) -> Tensor:
        loss = partial(self.task.loss, label_smoothing=self.label_smoothing)
        losses: Tensor = torch.vmap(loss, in_dims=(0, None if one_batch else 0))(outputs, targets)
        return losses


def criterion(task: Task, label_smoothing: float, targets: Tensor) -> Criterion:
    """`targets`: those of one batch, or any of their shape."""
    # A subclass of a classification may compute anything; a function that is one of these two computes what it says.
    if isinstance(task, Classification) and type(task).loss in PLAIN:
        return CrossEntropy(label_smoothing, targets.numel())
    return Own(task, label_smoothing)
