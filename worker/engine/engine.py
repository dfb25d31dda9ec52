"""The interface every training engine has, and how its caller steers one that is running."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import Protocol

import torch

from worker.engine.events import Event
from worker.engine.job import Job


class Steering:
    """What the caller tells a running engine; obeyed before the next update. Safe to use from any thread.

    `polls` grows with every update an engine makes, so that a watcher can tell training from a hang.
    """

    def __init__(self) -> None:
        self.polls = 0
        self._dropped: set[int] = set()
        self._all = False

    def drop(self, job: int) -> None:
        """Train this job no further; its neighbours are not touched."""
        self._dropped.add(job)

    def drop_all(self) -> None:
        """Train nothing further, and take no more jobs."""
        self._all = True

    def dropped(self, job: int) -> bool:
        """Asked by engines before each update."""
        self.polls += 1
        return self._all or job in self._dropped

    def any_dropped(self, jobs: Set[int]) -> bool:
        """The same of several at once."""
        self.polls += 1
        return self._all or not self._dropped.isdisjoint(jobs)


class Engine(Protocol):
    """Trains jobs and says how it goes."""

    @property
    def name(self) -> str:
        """Reported with every trial."""
        ...

    @property
    def device(self) -> torch.device:
        """What it trains on."""
        ...

    @property
    def capacity(self) -> int:
        """How many jobs it can make use of at a time."""
        ...

    def run(self, jobs: Iterable[Job], steering: Steering) -> Iterator[Event]:
        """Train the jobs; all but the engine's own faults come out as events.

        Jobs are taken from `jobs` one by one as there is room, so that a lazy iterable refills a running engine.
        Training goes on only while the caller asks for the next event. An engine that computes rates before training
        hands a job that `needs_metric` to `Solo`. Points of such a job carry `lr`, the rate of the last update made.
        """
        ...
