"""The writing of the hot path: requests that come together share one transaction and are answered after its commit.

A commit waits for the disk, and the disk does not mind how much it is given. So requests queue; a thread takes those
that are there, does them, all of a kind together, commits once, and only then answers: acknowledged is durable.

Who was answered a moment ago mostly asks again in a moment. A thread waits that moment for as many as were answered
last: else the first of them would be a group of its own, and all others wait for its commit.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.database import LOCK_TIMEOUT_S, Criteria, Database
from service.errors import Overloaded
from service.jobs import Job, Result

WAITING = 1_000
"""Requests that may wait, about a second's work; more are told to come back, so that memory stays bounded."""
GROUP = 64
"""Requests of one transaction: the first of them waits for the work of all."""
AGAIN_S = 0.0002
"""So long a thread waits, for each of those answered last, that they ask again: what the event loop takes for one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    job: Job[Any]  # each request's own result type, which its future hands to the one who asked
    criteria: Criteria
    answer: asyncio.Future[Any]


class Writer:
    """Threads that write for coroutines: one where the database has one writer, else enough to keep it busy."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._coming: list[_Request] = []
        self._requests: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._answered, self._again_by, self._came = 0, 0.0, 0
        self._closed = False
        count = 1 if database.is_sqlite else 2
        self._threads = [threading.Thread(target=self._run, name=f"writer-{n}", daemon=True) for n in range(count)]

    @property
    def waiting(self) -> int:
        """Requests that nobody has begun."""
        return len(self._coming) + len(self._requests)

    def start(self) -> None:
        """Begin to write; from the event loop whose coroutines will ask."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    async def write(self, job: Job[Result], criteria: Criteria = ()) -> Result:
        """What the job returned, once it is committed; or what it raised, once it is undone.

        The job sees only the rows that fulfil the criteria.
        """
        if self._closed:
            raise Overloaded("the service is shutting down; try again")
        if self.waiting >= WAITING:
            raise Overloaded(f"{WAITING} writes are waiting; try again")
        request = _Request(job, criteria, self._loop.create_future())
        if not self._coming:
            self._loop.call_soon(self._pass_on, 0)
        self._coming.append(request)
        result: Result = await request.answer
        return result

    def _pass_on(self, seen: int) -> None:
        """Hand what has come to the threads, once a turn of the event loop has brought nothing more.

        The interpreter is one: a thread that begins with the first of several requests only keeps the loop from
        reading the others, and they become two groups, each with a commit.
        """
        if seen < len(self._coming) < GROUP:
            self._loop.call_soon(self._pass_on, len(self._coming))
        else:
            self._pass_all_on()

    def _pass_all_on(self) -> None:
        with self._changed:
            self._requests.extend(self._coming)
            self._came += len(self._coming)
            self._coming.clear()
            if self._patience() <= 0:  # else the thread that answered last looks for itself when it has had enough
                self._changed.notify()

    async def close(self) -> None:
        """Write what was accepted, then stop."""
        self._pass_all_on()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        await asyncio.to_thread(self._joined)

    def _joined(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            self._serve(group)

    def _next_group(self) -> list[_Request]:
        """The requests that wait; none when there are to be no more."""
        with self._changed:
            while (patience := self._patience()) > 0 or not (self._requests or self._closed):
                self._changed.wait(patience if patience > 0 else None)
            return [self._requests.popleft() for _ in range(min(GROUP, len(self._requests)))]

    def _patience(self) -> float:
        """How long to wait for more, in seconds."""
        if self._closed or self._came >= self._answered or len(self._requests) >= GROUP:
            return 0.0
        return self._again_by - time.monotonic()

    def _serve(self, group: Sequence[_Request]) -> None:
        outcomes: Sequence[object]
        begun = time.monotonic()
        try:
            outcomes = self._database.write_together([(request.job, request.criteria) for request in group])
        except Exception as error:  # noqa: BLE001 - whatever it is, every request of the group is told
            if isinstance(error, Overloaded) and time.monotonic() - begun > LOCK_TIMEOUT_S / 2:
                group = [*group, *self._behind()]  # they have waited as long; each group of them would again
            outcomes = [error] * len(group)
        with self._changed:
            self._answered, self._came = min(len(group), GROUP), 0
            self._again_by = time.monotonic() + AGAIN_S * self._answered
        self._loop.call_soon_threadsafe(_answer, group, outcomes)

    def _behind(self) -> list[_Request]:
        """All requests that wait, to be answered by whoever takes them."""
        with self._changed:
            found = list(self._requests)
            self._requests.clear()
            return found


def _answer(group: Sequence[_Request], outcomes: Sequence[object]) -> None:
    for request, outcome in zip(group, outcomes, strict=True):
        if request.answer.done():  # whoever asked has gone
            continue
        if isinstance(outcome, Exception):
            request.answer.set_exception(outcome)
        else:
            request.answer.set_result(outcome)
