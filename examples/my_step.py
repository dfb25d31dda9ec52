"""A task with an update of its own, to copy: mixup, and gradients that are clipped.

Try it, and let a worker offer it, from the folder this file is in:

    switchback check-task my_step:MyStep
    switchback worker --task my_step:MyStep

A study then asks for it by its key: `task: {dataset: digits, model: mixup}`. Such a task is trained one trial at a
time: if all that is special is the loss, write `loss` instead, and trials can be trained together.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from worker.tasks import Classification, Model, Split, StepContext
from worker.tasks.digits import DIGITS
from worker.tasks.models import mlp


class MyStep(Classification):
    """The built-in digits and network; a task from nothing (see my_task.py) may have a `step` just as well."""

    def __init__(self) -> None:
        super().__init__(DIGITS, Model("mixup", mlp))

    def step(self, model: nn.Module, optimizer: Optimizer, batch: Split, context: StepContext) -> Tensor:
        """One update. Rate and momentum are set already; the loss before it is what is reported."""
        share = torch.rand(()).clamp(0.5)  # torch's global generator: the engine seeds it, and keeps it in checkpoints
        other = torch.randperm(len(batch))
        outputs = model(share * batch.inputs + (1 - share) * batch.inputs[other])
        smoothing = context.label_smoothing
        loss = share * self.loss(outputs, batch.targets, label_smoothing=smoothing)
        loss = loss + (1 - share) * self.loss(outputs, batch.targets[other], label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        return loss.detach()
