"""Token buckets: how often somebody may do something, in memory of this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")

MOST = 10_000
"""Names remembered at a time; those whose bucket is full again are forgotten first."""


class Buckets(Generic[Key]):
    """One bucket for each key, of `burst` drops, filled with `rate` drops a second."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: dict[Key, tuple[float, float]] = {}

    def take(self, key: Key) -> float:
        """Take a drop: 0.0. When there is none: seconds until there is one, and nothing is taken."""
        left, now = self._filled(key), self._clock()
        if left < 1.0:
            return (1.0 - left) / self._rate
        if key not in self._left and len(self._left) >= MOST:
            self._forget()
        self._left[key] = (left - 1.0, now)
        return 0.0

    def empty(self, key: Key) -> float:
        """Seconds until there is a drop; 0.0 when there is one."""
        return max(0.0, (1.0 - self._filled(key)) / self._rate)

    def _filled(self, key: Key) -> float:
        left, at = self._left.get(key, (self._burst, self._clock()))
        return min(self._burst, left + (self._clock() - at) * self._rate)

    def _forget(self) -> None:
        full = [key for key in self._left if self._filled(key) >= self._burst]
        oldest = sorted(self._left, key=lambda key: self._left[key][1])[: MOST // 10]
        for key in full or oldest:
            del self._left[key]
