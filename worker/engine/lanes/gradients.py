"""Losses and gradients of a batched model: recorded by autograd, or written out where the model is of a known form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from worker.engine.lanes.affine import NARROW
from worker.engine.lanes.chain import chain
from worker.engine.lanes.criterion import Criterion
from worker.engine.lanes.flow import Flow, Layout, State
from worker.engine.lanes.links import PAIR, Found
from worker.engine.lanes.sequence import sequence
from worker.engine.lanes.stack import Stack
from worker.engine.precision import Precision


class Gradients(Protocol):
    """A batched model and its criterion, to be evaluated and differentiated."""

    @property
    def criterion(self) -> Criterion: ...

    @property
    def least(self) -> int:
        """How few lanes are rounded as many are; fewer are trained beside copies of the first."""
        ...

    @property
    def abreast(self) -> bool:
        """Whether many examples of all lanes may be evaluated at once: no lane's rounding depends on their number."""
        ...

    def outputs(self, inputs: Flow, state: State) -> Tensor:
        """[K, B, ...]; of a form that is written out in evaluation only."""
        ...

    def __call__(self, inputs: Flow, targets: Tensor, state: State) -> Found:
        """In training."""
        ...


@dataclass(frozen=True, slots=True)
class Autograd:
    """See `Gradients`: any model; the parameters of the state are leaves that require gradients."""

    stack: Stack
    criterion: Criterion
    precision: Precision | None = field(default=None, compare=False)

    @property
    def least(self) -> int:
        return PAIR

    @property
    def abreast(self) -> bool:
        return False

    def outputs(self, inputs: Flow, state: State) -> Tensor:
        return self.stack(inputs, state) if self.precision is None else self.precision(self.stack, inputs, state)

    def __call__(self, inputs: Flow, targets: Tensor, state: State) -> Found:
        outputs = self.outputs(inputs, state)
        losses = self.criterion(outputs, targets, one_batch=inputs.layout is Layout.SHARED)
        # Summed, not averaged, over lanes: each lane's gradient is that of its own mean loss.
        gradients = torch.autograd.grad(losses.sum() / self.criterion.terms, list(state.parameters))
        return Found(losses.detach(), gradients)


def written(stack: Stack, criterion: Criterion) -> Gradients | None:
    """The form in which the model's gradients are written out, if there is one."""
    return chain(stack, criterion) or sequence(stack, criterion)


def gradients(
    stack: Stack, criterion: Criterion, examples: int, device: torch.device, precision: Precision | None = None
) -> Gradients:
    """How to differentiate batches of so many examples: written out where that is known, in float32, unless the rows of
    products would be short; lane by lane on a CPU only.
    """
    recorded = Autograd(stack, criterion, precision)
    if examples < NARROW or (precision is not None and precision.reduced):
        return recorded
    found = chain(stack, criterion) or (sequence(stack, criterion) if device.type == "cpu" else None)
    return recorded if found is None else found
