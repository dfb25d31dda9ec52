"""Outputs computed in bfloat16: every engine alike, with weights, losses and metrics in float32."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from engine_models import MODELS
from lane_jobs import CPU, ENGINES, alone, curves, gap, job, train

from worker.engine import Failed, Solo, Started
from worker.engine.lanes.likeness import alike, told
from worker.tasks import Split, StepContext
from worker.tasks.registry import assemble


@pytest.mark.parametrize("engine", ["lanes", "vmap"])
@pytest.mark.parametrize(
    "model", ["mlp", *(pytest.param(one, marks=pytest.mark.slow) for one in MODELS if one not in {"mlp", "own"})]
)
def test_lanes_in_bf16_are_as_near_to_solo_in_bf16_as_bf16_is_to_float32(engine: str, model: str) -> None:
    steps = min(12, MODELS[model].steps)
    given = [job(lane, model=model, steps=steps, precision="bf16") for lane in range(3)]
    events = train(ENGINES[engine](CPU), *given)
    floor = max(gap(alone(replace(one, precision="float32")), alone(one)) for one in given)
    assert {event.engine for event in events if isinstance(event, Started)} == {"lanes"}
    assert 0 < floor < 0.5
    # A hit more or less of the 30 and 360 examples that are tested on is no noise of the numbers; a share is rounded.
    assert max(gap(alone(one), curves(events)[one.id]) for one in given) <= max(4 * floor, 1.001 / 30)


def test_bf16_trains_as_well_as_float32() -> None:
    *_, (_, coarse) = alone(job(steps=80, precision="bf16"))
    *_, (_, fine) = alone(job(steps=80))
    assert coarse["val_loss"] == pytest.approx(fine["val_loss"], rel=0.1)
    assert coarse["val_loss"] != fine["val_loss"]


def test_trials_of_another_precision_share_nothing() -> None:
    one, other = job(), job(precision="bf16")
    assert one.fingerprint != other.fingerprint
    assert told(one) != told(other)
    assert not alike(one, other)


class OwnStep:
    """The digits with an update of its own."""

    key = "digits/step"

    def __init__(self) -> None:
        task = assemble().task("digits/mlp")
        self.data, self.model, self.loss, self.metrics = task.data, task.model, task.loss, task.metrics

    def step(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: Split, context: StepContext
    ) -> torch.Tensor:
        raise AssertionError("must not be asked")


def test_a_step_of_ones_own_says_itself_what_is_bf16() -> None:
    (event,) = train(Solo(CPU), job(task=OwnStep(), precision="bf16"))
    assert isinstance(event, Failed)
    assert "precision: need float32 for a task that makes its updates itself (step), got bf16" in event.error
