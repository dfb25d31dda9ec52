"""`switchback check-task`: what it says of tasks with a step of their own, and of those that can be ensembles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from worker.check import check
from worker.tasks import Classification, Split, StepContext
from worker.tasks.digits import DIGITS
from worker.tasks.models import MLP


class Good(Classification):
    """Digits and the usual step, written out; the bad tasks change one thing."""

    def __init__(self) -> None:
        super().__init__(DIGITS, MLP)

    def step(self, model: nn.Module, optimizer: Optimizer, batch: Split, context: StepContext) -> Any:
        loss = self.loss(model(batch.inputs), batch.targets, label_smoothing=context.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss


class Forgetful(Good):
    def step(self, *given: Any) -> Any:
        super().step(*given)


class Idle(Good):
    def step(self, model: nn.Module, optimizer: Optimizer, batch: Split, context: StepContext) -> Any:
        return self.loss(model(batch.inputs), batch.targets, label_smoothing=0.0)


class Unsteered(Good):
    def step(self, model: nn.Module, optimizer: Optimizer, batch: Split, context: StepContext) -> Any:
        return super().step(model, SGD(model.parameters(), 0.1), batch, context)


class PerExample(Good):
    def step(self, model: nn.Module, optimizer: Optimizer, batch: Split, context: StepContext) -> Any:
        super().step(model, optimizer, batch, context)
        return nn.functional.cross_entropy(model(batch.inputs), batch.targets, reduction="none")


class Added(Good):
    def combined(self, outputs: Tensor) -> Tensor:
        return outputs.sum(dim=0)


class Cold(Good):
    def step(self, *given: Any) -> Any:
        loss = super().step(*given)
        return loss + torch.rand((), generator=torch.Generator().manual_seed(torch.seed() % 2**31))


def test_a_good_step_is_found_in_order() -> None:
    findings = list(check(Good()))
    assert [finding.wrong for finding in findings] == [None] * 8
    assert any(finding.looked_at.startswith("step() makes one update") for finding in findings)
    assert findings[-1].looked_at == "trials train one at a time, by solo: the task makes its updates itself (step)"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Forgetful, "step(): need the loss back, a finite tensor without dimensions, got NoneType"),
        (PerExample, "step(): need the loss back, a finite tensor without dimensions, got shape [8]"),
        (Idle, "step(): the parameters are as before; it must call optimizer.step()"),
        (Unsteered, "step(): at a rate of 0 the parameters change"),
        (Added, "combined(): two equal models must score as one of them"),
        (Cold, "training: two runs with one seed differ"),
    ],
)
def test_what_is_wrong_with_a_step_is_said_in_words(bad: Callable[[], Good], said: str) -> None:
    *_, last = check(bad())
    assert said in (last.wrong or "nothing")
