"""Which jobs may be lanes: those whose batched model has been seen to equal the plain one in float64."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from worker.engine.job import Job
from worker.engine.lanes.convert import Stack, UnsuitedError, convert, own, shared
from worker.engine.lanes.layers import Flow, State
from worker.engine.lanes.row import Member, prepare
from worker.engine.randomness import RandomStream
from worker.tasks import Task, resident

TOLERANCE = 1e-9
"""Largest difference, relative to the largest value, that float64 leaves between two orders of summing."""

EXAMPLES = 8


class Admission:
    """Remembers by task what it has found out."""

    def __init__(self, device: torch.device, dtype: torch.dtype | None) -> None:
        self._device, self._dtype = device, dtype
        self._found: dict[Task, str | None] = {}

    def admit(self, job: Job) -> Member:
        """The job, prepared. Raises UnsuitedError with the reason, or what the job would raise under solo."""
        member = prepare(job, resident(job.task, self._device, self._dtype))
        if job.task not in self._found:
            self._found[job.task] = _difference(job.task, member.stack)
        reason = self._found[job.task]
        if reason is not None:
            raise UnsuitedError(reason)
        return member


def _difference(task: Task, stack: Stack) -> str | None:
    """How the batched model of `task` differs from the plain one; None when it does not."""
    cpu = torch.device("cpu")
    models: list[nn.Module] = []
    for seed in (1, 2):
        with RandomStream(seed, cpu).active():
            models.append(task.model().double().train())
    inputs = resident(task, cpu, torch.float64).train.inputs
    batches = inputs[:EXAMPLES], inputs[EXAMPLES : 2 * EXAMPLES]
    if convert(models[0])[0] != stack or convert(models[1])[0] != stack:
        return "the model has another shape each time it is made"
    for batch in ((batches[0], batches[0]), batches):
        mixed = shared(batch[0]) if batch[0] is batch[1] else own(torch.stack(batch))
        for training in (True, False):
            plain = [_plain(deepcopy(model).train(training), part) for model, part in zip(models, batch, strict=True)]
            batched = _batched(stack, models, mixed, training=training)
            for number, (one, other) in enumerate(zip(zip(*plain, strict=True), batched, strict=True)):
                gap = (torch.stack(one) - other).abs().max() / torch.stack(one).abs().max().clamp(min=1e-30)
                if not gap <= TOLERANCE:
                    what = "outputs" if number == 0 else f"values of slot {number - 1}"
                    return f"the batched model's {what} differ from the plain one's by {gap:.1e}"
    return None


def _plain(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Outputs, then gradients and buffers afterwards, in the order of the slots."""
    outputs = model(inputs)
    outputs.square().sum().backward()
    for parameter in model.parameters():
        if parameter.grad is None:
            raise UnsuitedError("a parameter has no gradient, which torch.optim would leave alone")
        parameter.data = parameter.grad
    weights = convert(model)[1]
    return [outputs.detach(), *weights.parameters, *weights.buffers]


def _batched(stack: Stack, models: list[nn.Module], inputs: Flow, *, training: bool) -> list[Tensor]:
    """The same of all models at once, each [2, ...]."""
    weights = [convert(model)[1] for model in models]
    parameters = [
        torch.stack(lanes).requires_grad_() for lanes in zip(*(one.parameters for one in weights), strict=True)
    ]
    buffers = [torch.stack(lanes) for lanes in zip(*(one.buffers for one in weights), strict=True)]
    outputs = stack(inputs, State(parameters, buffers, len(models), training))
    gradients = torch.autograd.grad(outputs.square().sum(), parameters)
    return [outputs.detach(), *gradients, *buffers]
