"""A task of one's own, to copy: is a lump in the breast benign, from 30 measurements of its cells.

The data are scikit-learn's 569 real samples. Try it, and let a worker offer it, from the folder this file is in:

    switchback check-task my_task:MyTask
    switchback worker --task my_task:MyTask

A study then asks for it by its key: `task: {dataset: breast_cancer, model: mine}`.
"""

from __future__ import annotations

from functools import cache

import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn
from torch.nn import functional

from worker.tasks import Data, Split


class MyTask:
    """Everything an engine asks of a task. One object of it is made per worker."""

    key = "breast_cancer/mine"  # dataset/model: what a study calls it

    @cache  # noqa: B019  # one object per worker lives as long as the worker does
    def data(self) -> Data:
        """Three fixed parts: learned from, searched with, and read once at the end. Tensors in main memory."""
        values, labels = load_breast_cancer(return_X_y=True)
        order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0))  # a seed of its own
        inputs = torch.tensor(values, dtype=torch.float32)[order]
        targets = torch.tensor(labels, dtype=torch.int64)[order]
        train = inputs[:341]  # what is scaled by is learned from the training part alone
        inputs = (inputs - train.mean(0)) / train.std(0)
        return Data(
            train=Split(inputs[:341], targets[:341]),
            validation=Split(inputs[341:455], targets[341:455]),
            test=Split(inputs[455:], targets[455:]),
        )

    def model(self) -> nn.Module:
        """A new model; its random numbers come from torch's global generator, which the engine seeds."""
        return nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 2))

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        """What is minimised: the mean over the batch."""
        return functional.cross_entropy(outputs, targets, label_smoothing=label_smoothing)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """What is reported, as val_loss, val_accuracy, ...: sums over the examples, so that batches can be added up."""
        return {
            "loss": functional.cross_entropy(outputs, targets, reduction="sum"),
            "accuracy": (outputs.argmax(dim=1) == targets).sum(),
        }
