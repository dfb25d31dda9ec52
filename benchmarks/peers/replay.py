"""Trials drawn by lot and trained once more by `solo`: whether what was fast was also right."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from typing import NamedTuple

import torch

from worker.engine import Engine, Finished, Job, Solo, Steering

SHARE, FEWEST = 0.05, 4
TIMES = 4.0
"""How far an engine may be from `solo`, in noise floors."""

LEAST = 1e-6
"""A noise floor below what float32 tells apart is none."""


class Replay(NamedTuple):
    """`difference`: the largest of a final validation loss from that of `solo`. `floor`: the largest that rounding
    makes, `solo` in float32 from `solo` in float64, over the same trials.
    """

    trials: int
    nonce: int
    difference: float
    floor: float

    @property
    def sound(self) -> bool:
        return self.difference <= TIMES * max(self.floor, LEAST)

    def __str__(self) -> str:
        return (
            f"{self.trials} trials drawn by {self.nonce} and replayed by solo: val_loss within {self.difference:.1e},"
            f" noise floor {self.floor:.1e}"
        )


def replay(jobs: Sequence[Job], engine: Engine) -> Replay:
    """All jobs by `engine`, and some of them again; nobody knows beforehand which."""
    nonce = secrets.randbits(32)
    drawn = random.Random(nonce).sample(list(jobs), k=min(len(jobs), max(FEWEST, round(SHARE * len(jobs)))))
    found, single = _losses(engine, jobs), _losses(Solo(engine.device), drawn)
    double = _losses(Solo(engine.device, dtype=torch.float64), drawn)
    return Replay(
        len(drawn),
        nonce,
        max(abs(found[job.id] - single[job.id]) for job in drawn),
        max(abs(double[job.id] - single[job.id]) for job in drawn),
    )


def _losses(engine: Engine, jobs: Sequence[Job]) -> dict[int, float]:
    return {
        event.job: event.metrics["val_loss"] for event in engine.run(jobs, Steering()) if isinstance(event, Finished)
    }
