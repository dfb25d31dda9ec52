"""In what precision a model's outputs are computed: as its weights are, or products and convolutions in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

import torch
from torch import Tensor

from worker.engine.job import Job
from worker.engine.plan import PlanError
from worker.tasks import Stepping

P = ParamSpec("P")


class Precision:
    """Of one job on a device. Weights, their gradients, losses and metrics are float32 either way."""

    def __init__(self, job: Job, device: torch.device) -> None:
        """Raises PlanError when the job cannot have it."""
        self.reduced, self._device = job.precision == "bf16", device.type
        if self.reduced and isinstance(job.task, Stepping):
            raise PlanError("precision: need float32 for a task that makes its updates itself (step), got bf16")

    def __call__(self, model: Callable[P, Tensor], *args: P.args, **options: P.kwargs) -> Tensor:
        """The model's outputs."""
        if not self.reduced:
            return model(*args, **options)
        # Without its cache of cast weights, which a CUDA graph may not outlive; no model of ours reads a weight twice.
        with torch.autocast(self._device, torch.bfloat16, cache_enabled=False):
            outputs = model(*args, **options)
        return outputs.float()
