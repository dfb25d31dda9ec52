"""What the engines are compared on: every kind of model, with the batch and the steps that keep it short."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.tasks import Classification, Data, Dataset, LanguageModelling, Model, Split, Task, assemble
from worker.tasks.digits import DIGITS
from worker.tasks.resnet import RESNET20
from worker.tasks.stdlib_chars import STDLIB_CHARS
from worker.tasks.transformers import GPT_SMALL, VIT_SMALL

TASKS = assemble()


class Measure(NamedTuple):
    """`steps`: as far as trainings are followed; `wide`: the same for many lanes."""

    batch_size: int
    steps: int
    wide: int


MODELS = {
    "mlp": Measure(64, 200, 60),
    "dropout": Measure(64, 200, 40),
    "own": Measure(64, 200, 40),
    "cnn": Measure(16, 30, 20),
    # Its rounding doubles or more every two updates; in bf16 it has little in common with float32 after twelve.
    "resnet20": Measure(8, 6, 3),
    "vit_small": Measure(8, 24, 4),
    "gpt_small": Measure(2, 8, 2),
}


class Gated(nn.Module):
    """A module of one's own: its forward is code, with a frozen parameter and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 20), nn.Linear(64, 20)
        self.scale = nn.Parameter(torch.rand(20), requires_grad=False)
        self.register_buffer("shift", torch.rand(20))
        self.drop = nn.Dropout(0.2)

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.flatten(1)
        return self.scale * self.drop(self.one(pixels)) * self.two(pixels).sigmoid() + self.shift


class OwnTask:
    """A task of one's own, with a loss that no engine knows."""

    key = "digits/own"

    def data(self) -> Data:
        return TASKS.task("digits/mlp").data()

    def model(self) -> nn.Module:
        return nn.Sequential(Gated(), nn.Linear(20, 10))

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        wanted = functional.one_hot(targets, 10) * (1 - label_smoothing)
        return (outputs.softmax(dim=1) - wanted).square().sum(dim=1).mean()

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return TASKS.task("digits/mlp").metrics(outputs, targets)


def dropping(_: object) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.25), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 10))
    )


def excerpt(dataset: Dataset) -> Data:
    """Enough to train a few steps with, and little to evaluate."""
    whole = dataset.load()
    parts = ((whole.train, 400), (whole.validation, 30), (whole.test, 30))
    return Data(*(Split(part.inputs[:rows], part.targets[:rows]) for part, rows in parts))


def short(dataset: Dataset) -> Dataset:
    return replace(dataset, load=partial(excerpt, dataset))


@cache
def task_of(model: str) -> Task:
    """One object each, since an array is of one task."""
    known = {"dropout": Model("dropout", dropping), "resnet20": RESNET20, "vit_small": VIT_SMALL}
    if model == "own":
        return OwnTask()
    if model == "gpt_small":
        return LanguageModelling(short(STDLIB_CHARS), GPT_SMALL)
    return Classification(short(DIGITS), known[model]) if model in known else TASKS.task(f"digits/{model}")
