"""A lock that is given in the order it was asked for, so that whoever asks most often does not always get it."""

from __future__ import annotations

from collections import deque
from threading import Lock
from types import TracebackType

from service.errors import Overloaded


class Turns:
    """As a context manager: wait for one's turn, at most `timeout_s` seconds (`Overloaded`)."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._guard = Lock()
        self._taken = False
        self._waiting: deque[Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=self._timeout_s):
            return
        with self._guard:
            if mine not in self._waiting:  # it was given in this very moment
                return
            self._waiting.remove(mine)
        raise Overloaded(f"the database was busy writing for {self._timeout_s} s; try again")

    def taken_at_once(self) -> bool:
        """Take it if nobody has it and nobody waits; whoever did leaves it as after `with`, by `give`."""
        with self._guard:
            if self._taken:
                return False
            self._taken = True
            return True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.give()

    def give(self) -> None:
        """Let whoever has waited longest have it."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
