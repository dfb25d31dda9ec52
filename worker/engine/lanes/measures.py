"""A task's metrics of the outputs of K lanes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from worker.tasks import Classification, Task


def measures(task: Task, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """What `task.metrics` says of each lane, [K] each; outputs are [K, B, ...], targets [B, ...]."""
    # A subclass may measure anything; this very function measures what follows, and is called often.
    if isinstance(task, Classification) and type(task).metrics is Classification.metrics and outputs.dim() == 3:
        return _of_classes(outputs.transpose(1, 2), targets)
    each = [task.metrics(lane, targets) for lane in outputs.unbind()]
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}


def _of_classes(scores: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Scores [K, classes, B]."""
    place = targets.expand(len(scores), -1).unsqueeze(1)
    logs = functional.log_softmax(scores, dim=1).gather(1, place)
    # As argmax, which takes six times as long over a dimension that is not the last.
    right = scores.max(dim=1, keepdim=True).indices == place
    return {"loss": -logs.flatten(1).sum(dim=1), "accuracy": right.flatten(1).sum(dim=1)}
