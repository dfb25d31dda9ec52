"""The trials that lanes are measured on, and the ways to train them, in this process or in a pool's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from schedules.presets import REGISTRY
from worker.engine import Engine, Finished, Job, Lanes, OptimizerNumbers, Solo, Steering
from worker.engine.lanes.recording import cuda_graph
from worker.engine.memory import keep_freed
from worker.tasks import Classification, Data, LanguageModelling, Split, Task, assemble

STEPS = {"mlp": 128, "cnn": 16, "resnet20": 4, "vit_small": 8, "gpt_small": 4}
"""Of a trial; each is whole epochs of an excerpt in the proportions 3 : 1 : 1."""


class Kind(NamedTuple):
    """What the trials of a comparison have in common; they differ in rate."""

    model: str
    optimizer: str
    batch: int
    device: str

    @property
    def steps(self) -> int:
        return STEPS[self.model]

    def __str__(self) -> str:
        return f"{self.model}/{self.optimizer}/{self.batch}"


@dataclass(frozen=True)
class Compiled:
    """A task whose model is compiled; all else is the task's own."""

    task: Task

    @property
    def key(self) -> str:
        return f"{self.task.key}+compiled"

    def data(self) -> Data:
        return self.task.data()

    def model(self) -> nn.Module:
        compiled: nn.Module = torch.compile(self.task.model())
        return compiled

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        return self.task.loss(outputs, targets, label_smoothing=label_smoothing)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return self.task.metrics(outputs, targets)


@cache
def task_of(kind: Kind) -> Classification:
    key = f"stdlib_chars/{kind.model}" if kind.model == "gpt_small" else f"digits/{kind.model}"
    task = assemble().task(key)
    assert isinstance(task, Classification)
    epoch = min(kind.steps * kind.batch, 1024)
    dataset = replace(task.dataset, load=partial(excerpt, kind.model, epoch))
    make = LanguageModelling if kind.model == "gpt_small" else Classification
    return make(dataset, task.architecture)


def excerpt(model: str, examples: int) -> Data:
    key = f"stdlib_chars/{model}" if model == "gpt_small" else f"digits/{model}"
    whole = assemble().task(key).data()
    third = -(-examples // 3)
    sizes = ((whole.train, examples), (whole.validation, third), (whole.test, third))
    return Data(*(Split(part.inputs[:count], part.targets[:count]) for part, count in sizes))


def job(kind: Kind, trial: int, *, compiled: bool = False) -> Job:
    name = "sgd" if kind.optimizer == "sgd" else "adamw"
    lr = (0.05 if name == "sgd" else 0.002) * (1 + trial / 100)
    task = task_of(kind)
    return Job(
        id=trial + 1,
        task=Compiled(task) if compiled else task,
        schedule=REGISTRY["cosine"].build(lr=lr),
        optimizer=OptimizerNumbers(name=name, weight_decay=1e-4),
        batch_size=kind.batch,
        steps=kind.steps,
    )


def prepare() -> None:
    """A process's settings, the same for every way."""
    torch.set_num_threads(1)
    keep_freed()


@cache
def engine(kind: Kind, lanes: int | None, *, graphs: bool = False) -> Engine:
    device = torch.device(kind.device)
    return Solo(device) if lanes is None else Lanes(device, lanes=lanes, record=cuda_graph if graphs else None)


@cache
def compiled_jobs(kind: Kind, count: int) -> list[Job]:
    """Kept, so that the compiler's work is kept too."""
    return [job(kind, trial, compiled=True) for trial in range(count)]


def train(kind: Kind, count: int, *, lanes: int | None = None, compiled: bool = False, graphs: bool = False) -> int:
    """How many of so many trials ran to their end; `lanes` None: one by one."""
    jobs = compiled_jobs(kind, count) if compiled else [job(kind, trial) for trial in range(count)]
    events = engine(kind, lanes, graphs=graphs).run(jobs, Steering())
    return sum(isinstance(event, Finished) for event in events)


def flops(kind: Kind) -> float:
    """Of one trial's updates: the products and convolutions, forward and backward."""
    task = task_of(kind)
    model, data = task.model(), task.data().train
    with FlopCounterMode(display=False) as counter:
        outputs = model(data.inputs[: kind.batch])
        task.loss(outputs, data.targets[: kind.batch], label_smoothing=0.0).backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops() * kind.steps)
