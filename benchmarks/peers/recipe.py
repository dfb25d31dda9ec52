"""A trial in a form that crosses process borders: everything an ordinary loop needs to train it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from benchmarks.peers.plain_loop import by_hand
from schedules import from_dict
from worker.engine import Job
from worker.engine.memory import keep_freed
from worker.tasks import Task, assemble


@dataclass(frozen=True)
class Recipe:
    """`schedule` as `schedules.to_dict` gives it."""

    task: str
    schedule: dict[str, object]
    seed: int
    batch_size: int
    epochs: int


def prepare() -> None:
    """What every worker process of every peer gets: one thread, and the allocator setting of our own workers."""
    torch.set_num_threads(1)
    keep_freed()


def train(recipe: Recipe) -> float:
    """The final validation loss."""
    job = Job(
        id=1,
        task=_task(recipe.task),
        schedule=from_dict(recipe.schedule),
        seed=recipe.seed,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
    )
    return by_hand(job, torch.device("cpu"))


@lru_cache
def _task(key: str) -> Task:
    return assemble().task(key)
