"""Where an engine of many lanes gets its jobs: those that must wait for an array of their own kind, then new ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from worker.engine.job import Job

Fit = TypeVar("Fit")


class Intake:
    """No more jobs are taken from the iterable than there is room to train; None from it is none at the moment."""

    def __init__(self, jobs: Iterable[Job | None]) -> None:
        self._source = iter(jobs)
        self._waiting: deque[Job] = deque()

    def next(self) -> Job | None:
        """The oldest job; None when there is none."""
        return self._waiting.popleft() if self._waiting else next(self._source, None)

    def matching(self, fit: Callable[[Job], Fit | None], room: int) -> list[Fit]:
        """What `fit` makes of up to `room` jobs; those of which it makes nothing wait, and take up room."""
        found: list[Fit] = []
        earlier, self._waiting = self._waiting, deque()
        for waiting in earlier:
            self._offer(waiting, fit if len(found) < room else None, found)
        while len(found) + len(self._waiting) < room and (job := next(self._source, None)) is not None:
            self._offer(job, fit, found)
        return found

    def gone(self, dropped: Callable[[int], bool]) -> list[Job]:
        """Those that wait and are to be trained no more; they do not wait on."""
        found: list[Job] = []
        earlier, self._waiting = self._waiting, deque()
        for job in earlier:
            (found if dropped(job.id) else self._waiting).append(job)
        return found

    def _offer(self, job: Job, fit: Callable[[Job], Fit | None] | None, found: list[Fit]) -> None:
        made = None if fit is None else fit(job)
        if made is None:
            self._waiting.append(job)
        else:
            found.append(made)
