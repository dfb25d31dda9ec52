"""The averages and the ensemble of one model in training: kept beside it, evaluated at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from worker.engine.averaging import Ensemble
from worker.engine.averaging_plan import member_ends, weights
from worker.engine.job import Job
from worker.engine.plan import Horizon
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
        self._task, self._model = job.task, model
        self._parameters = dict(model.named_parameters())
        self._weights: dict[str, NDArray[np.float64]] = {}
        self._ends: list[int] = []
        for wanted in job.averaging:
            if isinstance(wanted, Ensemble):
                self._ends = member_ends(job, horizon, wanted)
            else:
                self._weights[wanted.name] = weights(wanted, horizon)
        self._moving = {name: _copies(self._parameters) for name in self._weights}
        self._members: dict[int, dict[str, Tensor]] = {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model after `step` updates."""
        for name, average in self._moving.items():
            if (weight := float(self._weights[name][step - 1])) > 0.0:
                for key, parameter in self._parameters.items():
                    average[key].lerp_(parameter, weight)
        if step in self._ends:
            self._members[step] = _copies(state_of(self._model))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All there is to keep, by name."""
        found = {f"{name}.{key}": value for name, average in self._moving.items() for key, value in average.items()}
        members = self._members.items()
        return found | {f"{step}.{key}": value for step, member in members for key, value in member.items()}

    def restore(self, saved: Mapping[str, Tensor], step: int) -> None:
        """Continue from `tensors` after `step` updates. Raises UnfitError when they are not of this model."""
        self._members = {end: _copies(state_of(self._model)) for end in self._ends if end <= step}
        put_back(saved, self.tensors)

    def predictors(self, batches: Callable[[], Iterable[Tensor]]) -> Iterator[tuple[str, Predict]]:
        """By name what each average says. `batches` are all training inputs: what batch norm has to be measured on."""
        for name, average in self._moving.items():
            model = self._model_with(average)
            update_bn(batches(), model)
            yield name, model.eval()
        if self._ends:
            yield Ensemble.name, together(self._task, [self._model_with(state) for state in self._members.values()])

    def _model_with(self, state: Mapping[str, Tensor]) -> nn.Module:
        model = deepcopy(self._model)
        put_back(state, {name: value for name, value in state_of(model).items() if name in state})
        return model


def together(task: Task, models: list[nn.Module]) -> Predict:
    """The prediction of all models."""
    assert isinstance(task, Ensembling)
    combined, models = task.combined, [model.eval() for model in models]
    return lambda inputs: combined(torch.stack([model(inputs) for model in models]))


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
