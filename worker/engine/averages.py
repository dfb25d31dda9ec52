"""The averages and the ensemble of one model in training: kept beside it, evaluated at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from worker.engine.averaging import Ensemble
from worker.engine.averaging_plan import taking
from worker.engine.dropout import Draws, Dropout, draw
from worker.engine.job import Job
from worker.engine.plan import Horizon, mask_seed
from worker.engine.snapshot import put_back
from worker.tasks import Ensembling, Task

Predict: TypeAlias = Callable[[Tensor], Tensor]
"""Outputs of inputs, in evaluation mode."""


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Everything of a model that training changes, by name; the tensors themselves."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


class Averages:
    """What a job asks for in `averaging`, of this model."""

    def __init__(self, job: Job, horizon: Horizon, model: nn.Module) -> None:
        """Raises PlanError when it cannot be had."""
        self._job, self._horizon, self._model = job, horizon, model
        self._taking = taking(job, horizon)
        self._parameters = dict(model.named_parameters())
        self._moving = {name: _copies(self._parameters) for name in self._taking.names}
        self._members: dict[int, dict[str, Tensor]] = {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model after `step` updates."""
        for average, weight in zip(self._moving.values(), self._taking.weights[step - 1].tolist(), strict=True):
            if weight > 0.0:
                for key, parameter in self._parameters.items():
                    average[key].lerp_(parameter, weight)
        if step in self._taking.ends:
            self._members[step] = _copies(state_of(self._model))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All there is to keep, by name."""
        found = {f"{name}.{key}": value for name, average in self._moving.items() for key, value in average.items()}
        members = self._members.items()
        return found | {f"{step}.{key}": value for step, member in members for key, value in member.items()}

    def restore(self, saved: Mapping[str, Tensor], step: int) -> None:
        """Continue from `tensors` after `step` updates. Raises UnfitError when they are not of this model."""
        self._members = {end: _copies(state_of(self._model)) for end in self._taking.ends if end <= step}
        put_back(saved, self.tensors)

    def predictors(self, batches: Callable[[], Iterable[Tensor]]) -> Iterator[tuple[str, Predict]]:
        """See `predictors`."""
        averages = ((name, self._model_with(average)) for name, average in self._moving.items())
        members = [self._model_with(state) for state in self._members.values()]
        return predictors(self._job, self._horizon.total_steps, averages, members, batches)

    def _model_with(self, state: Mapping[str, Tensor]) -> nn.Module:
        model = deepcopy(self._model)
        put_back(state, {name: value for name, value in state_of(model).items() if name in state})
        return model


def predictors(
    job: Job,
    steps: int,
    averages: Iterable[tuple[str, nn.Module]],
    members: Sequence[nn.Module],
    batches: Callable[[], Iterable[Tensor]],
) -> Iterator[tuple[str, Predict]]:
    """By name what each average says of a model after its `steps` updates, and what the members of its ensemble say
    together. `batches` are all training inputs, over which torch's `update_bn` measures the statistics of batch norm.
    """
    for name, model in averages:
        dropouts = [module for module in model.modules() if isinstance(module, Dropout)]
        # It measures in training mode: masks are those of one update more, call by call.
        draw(dropouts, Draws([(mask_seed(job), steps)]))
        update_bn(batches(), model)
        yield name, model.eval()
    if members:
        yield Ensemble.name, together(job.task, [model.eval() for model in members])


def together(task: Task, models: Sequence[nn.Module]) -> Predict:
    """The prediction of all models."""
    assert isinstance(task, Ensembling)
    combined = task.combined
    return lambda inputs: combined(torch.stack([model(inputs) for model in models]))


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
