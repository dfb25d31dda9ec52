"""The interface every training engine has, and how its caller steers one that is running."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Set
from typing import Protocol

import torch

from worker.engine.events import Event
from worker.engine.job import Job


class Steering:
    """What the caller tells a running engine; obeyed before the next update. Safe to use from any thread.

    `polls` grows with every update an engine makes, so that a watcher can tell training from a hang.
    """

    def __init__(self, *, checkpoint_every_s: float = 0.0) -> None:
        """A snapshot of each job every so many seconds, and one of each when all are dropped; 0: none at all."""
        self.polls = 0
        self._every_s = checkpoint_every_s
        self._checkpointed_at: dict[int, float] = {}
        self._parting: set[int] = set()
        self._dropped: set[int] = set()
        self._all = False

    def drop(self, job: int, *, keep: bool = False) -> None:
        """Train this job no further, with `keep` after a last snapshot; its neighbours are not touched."""
        if keep:
            self._parting.add(job)
        self._dropped.add(job)

    def forget(self, job: int) -> None:
        """A job of this number is given to the engine again: what was said of an earlier one does not count."""
        self._parting.discard(job)
        self._dropped.discard(job)
        self._checkpointed_at.pop(job, None)

    def drop_all(self) -> None:
        """Train nothing further, after a last snapshot, and take no more jobs."""
        self._all = True

    def checkpoint_due(self, job: int) -> bool:
        """Whether a snapshot is to be taken; asked by engines before each update."""
        if not self._every_s or (job in self._dropped and job not in self._parting):
            return False
        now = time.monotonic()
        return self._all or job in self._parting or now - self._checkpointed_at.setdefault(job, now) >= self._every_s

    def checkpointed(self, job: int) -> None:
        """The snapshot that was due has been taken."""
        self._checkpointed_at[job] = time.monotonic()

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

    def run(self, jobs: Iterable[Job | None], steering: Steering) -> Iterator[Event]:
        """Train the jobs; all but the engine's own faults come out as events.

        Jobs are taken from `jobs` one by one as there is room, so that a lazy iterable refills a running engine; None
        says that there is none at the moment: the engine asks again while it trains those it has.
        Training goes on only while the caller asks for the next event. An engine that computes rates before training
        hands a job that `needs_metric` to `Solo`. Points of such a job carry `lr`, the rate of the last update made.
        """
        ...
