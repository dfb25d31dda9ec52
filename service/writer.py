"""The writing of the hot path: requests that come together share one transaction and are answered after its commit.

A commit waits for the disk, and the disk does not mind how much it is given. So requests queue; those that are there
are done, all of a kind together, committed once, and only then answered: acknowledged is durable. The event loop does
them itself where it need not wait for others, a thread where it would.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from service.database import LOCK_TIMEOUT_S, Criteria, Database
from service.errors import Overloaded
from service.jobs import Job, Result

WAITING = 1_000
"""Requests that may wait, about a second's work; more are told to come back, so that memory stays bounded."""
GROUP = 64
"""Requests of one transaction: the first of them waits for the work of all."""

SHORT_S, ELSEWHERE_S = 0.05, 1.0
"""After a group that kept the event loop from all else for longer, groups are written by the threads for so long."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    job: Job[Any]  # each request's own result type, which its future hands to the one who asked
    criteria: Criteria
    answer: asyncio.Future[Any]


class Writer:
    """Writes for coroutines: in the event loop where that need not wait; else in threads, one where the database has
    one writer, or enough to keep it busy.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._coming: list[_Request] = []
        self._closed = False
        self._elsewhere_until = 0.0
        count = 1 if database.is_sqlite else 2
        self._threads = [threading.Thread(target=self._run, name=f"writer-{n}", daemon=True) for n in range(count)]

    @property
    def waiting(self) -> int:
        """Requests that nobody has begun."""
        return len(self._coming) + self._requests.qsize()

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
        """Have what has come written, once a turn of the event loop has brought nothing more.

        The interpreter is one: whoever begins with the first of several requests only keeps the loop from reading the
        others, and they become two groups, each with a commit.
        """
        if seen < len(self._coming) < GROUP:
            self._loop.call_soon(self._pass_on, len(self._coming))
        elif self._coming and not self._written_here():
            self._pass_all_on()

    def _written_here(self) -> bool:
        """Whether the event loop has written what came: it does where nobody else is writing, SQLite only.

        A thread that takes the work over, and the interpreter with it at each statement, costs a quarter more, and the
        two cannot work at the same time. But a disk that is slow, or a group that is large, keeps all others waiting:
        after one of these the threads have the work for a while.
        """
        begun = time.monotonic()
        if begun < self._elsewhere_until:
            return False
        group = self._coming[:GROUP]
        outcomes: Sequence[object] | None
        try:
            outcomes = self._database.write_at_once([(request.job, request.criteria) for request in group])
        except Exception as error:  # noqa: BLE001 - whatever it is, every request of the group is told
            outcomes = [error] * len(group)
        if outcomes is None:
            return False
        del self._coming[:GROUP]
        _answer(group, outcomes)
        now = time.monotonic()
        if now - begun > SHORT_S:
            self._elsewhere_until = now + ELSEWHERE_S
        if self._coming:
            self._loop.call_soon(self._pass_on, len(self._coming))
        return True

    def _pass_all_on(self) -> None:
        for request in self._coming:
            self._requests.put(request)
        self._coming.clear()

    async def close(self) -> None:
        """Write what was accepted, then stop."""
        self._closed = True
        self._pass_all_on()
        for _ in self._threads:
            self._requests.put(None)
        await asyncio.to_thread(self._joined)

    def _joined(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            group, more = self._next_group()
            if group:
                self._serve(group)
            if not more:
                return

    def _next_group(self) -> tuple[list[_Request], bool]:
        """The requests that wait, at least one of them; and whether the thread is to go on."""
        group: list[_Request] = []
        while len(group) < GROUP:
            try:
                request = self._requests.get(block=not group)
            except Empty:
                return group, True
            if request is None:
                return group, False
            group.append(request)
        return group, True

    def _serve(self, group: Sequence[_Request]) -> None:
        outcomes: Sequence[object]
        begun = time.monotonic()
        try:
            outcomes = self._database.write_together([(request.job, request.criteria) for request in group])
        except Exception as error:  # noqa: BLE001 - whatever it is, every request of the group is told
            if isinstance(error, Overloaded) and time.monotonic() - begun > LOCK_TIMEOUT_S / 2:
                group = [*group, *self._behind()]  # they have waited as long; each group of them would again
            outcomes = [error] * len(group)
        self._loop.call_soon_threadsafe(_answer, group, outcomes)

    def _behind(self) -> list[_Request]:
        """All requests that wait, to be answered by whoever takes them."""
        found: list[_Request] = []
        try:
            while (request := self._requests.get(block=False)) is not None:
                found.append(request)
            self._requests.put(None)
        except Empty:
            pass
        return found


def _answer(group: Sequence[_Request], outcomes: Sequence[object]) -> None:
    for request, outcome in zip(group, outcomes, strict=True):
        if request.answer.done():  # whoever asked has gone
            continue
        if isinstance(outcome, Exception):
            request.answer.set_exception(outcome)
        else:
            request.answer.set_result(outcome)
