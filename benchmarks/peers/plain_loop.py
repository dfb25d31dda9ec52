"""An ordinary PyTorch training loop: what one would write by hand for one trial."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from worker.engine import Job
from worker.engine.channels_last import laid
from worker.engine.plan import WEIGHTS, derived_seed, epoch_order
from worker.tasks import Split, resident

NOWHERE = io.StringIO()


def by_hand(job: Job, device: torch.device) -> float:
    """The final validation loss. SGD, with momentum 0.9 where the schedule has none of its own; prints as one would."""
    data, task = resident(job.task, device), job.task
    torch.manual_seed(derived_seed(job.seed, WEIGHTS))
    model = task.model().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    group = optimizer.param_groups[0]
    size, per_epoch = job.batch_size, len(data.train) // job.batch_size
    epochs = job.epochs or 0
    bound, steps = job.schedule.bind(epochs * per_epoch, per_epoch), np.arange(epochs * per_epoch)
    rates = iter(bound.lr(steps).tolist())
    cycled = bound.momentum(steps)
    momenta = iter([0.9] * len(steps) if cycled is None else cycled.tolist())
    validation = (float("nan"), 0.0)
    for epoch in range(epochs):
        model.train()
        order = epoch_order(job.seed, epoch, len(data.train)).to(device)
        total = torch.zeros((), device=device)
        for start in range(0, per_epoch * size, size):
            rows = order[start : start + size]
            group["lr"], group["momentum"] = next(rates), next(momenta)
            # channels_last, as is the usual advice for convolutions, and as the engines have it: the same rounding.
            loss = functional.cross_entropy(model(laid(data.train.inputs[rows])), data.train.targets[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            total += loss.detach()
        model.eval()
        validation = measured(model, data.validation)
        print(epoch, total.item() / per_epoch, *validation, file=NOWHERE)
    print(*measured(model, data.test), file=NOWHERE)
    return validation[0]


@torch.no_grad()
def measured(model: nn.Module, split: Split) -> tuple[float, float]:
    """Loss and accuracy."""
    scores = model(laid(split.inputs))
    loss = functional.cross_entropy(scores, split.targets)
    return loss.item(), (scores.argmax(dim=-1) == split.targets).float().mean().item()
