"""A few steps of every new model on the offline data, by the reference engine: the loss falls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from schedules.presets import REGISTRY
from worker.check import Excerpt, check
from worker.engine import Job, OptimizerNumbers, Solo, Steering
from worker.engine.events import Points
from worker.tasks import Task, assemble
from worker.tasks.registry import own_tasks


def losses(task: Task, steps: int, lr: float = 1e-3) -> list[float]:
    """The training loss of every step, over the same rows each time."""
    job = Job(
        id=1,
        task=task,
        schedule=REGISTRY["constant"].build(lr=lr),
        optimizer=OptimizerNumbers(name="adamw"),
        batch_size=len(task.data().train),
        steps=steps,
        report_every=1,
    )
    events = Solo(torch.device("cpu")).run([job], Steering())
    return [event.values["train_loss"] for event in events if isinstance(event, Points)]


@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet20", "resnet38", "vit_small", "torchvision.shufflenet_v2_x0_5"])
def test_eight_steps_lower_the_loss_on_photographs(model: str) -> None:
    found = losses(Excerpt(assemble().task(f"sample_patches/{model}"), rows=16), steps=8)
    assert found[-1] < 0.9 * found[0]


@pytest.mark.parametrize("model", ["resnet20", "resnet38", "vit_small"])
def test_eight_steps_lower_the_loss_on_digits(model: str) -> None:
    found = losses(Excerpt(assemble().task(f"digits/{model}"), rows=32), steps=8, lr=3e-3)
    assert found[-1] < 0.95 * found[0]


def test_eight_steps_lower_the_loss_on_characters() -> None:
    found = losses(Excerpt(assemble().task("stdlib_chars/gpt_small"), rows=16), steps=8, lr=3e-3)
    assert found[-1] < 0.9 * found[0]


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The template's folder on the path."""
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "examples")
    yield
    sys.modules.pop("my_task", None)
    sys.modules.pop("my_step", None)


@pytest.mark.usefixtures("examples")
def test_the_template_of_a_step_learns_and_is_found_in_order() -> None:
    (task,) = own_tasks("my_step:MyStep").values()
    assert [finding.wrong for finding in check(task) if finding.wrong] == []
    job = Job(id=1, task=task, schedule=REGISTRY["cosine"].build(lr=0.1), epochs=5)
    *_, last = Solo(torch.device("cpu")).run([job], Steering())
    assert last.metrics["test_accuracy"] > 0.9


@pytest.mark.usefixtures("examples")
def test_the_template_learns_its_real_data() -> None:
    (task,) = own_tasks("my_task:MyTask").values()
    job = Job(id=1, task=task, schedule=REGISTRY["cosine"].build(lr=0.1), epochs=10, batch_size=32)
    *_, last = Solo(torch.device("cpu")).run([job], Steering())
    assert last.metrics["test_accuracy"] > 0.93
