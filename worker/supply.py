"""Further trials for an engine that runs, claimed in a thread of its own: training never waits for an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeAlias

from worker.backoff import delays
from worker.claims import Claim, Claimed

logger = logging.getLogger(__name__)

FIRST_S = 0.05
"""How soon a claim that brought nothing is followed by another; the service's own wish is the longest wait."""

Further: TypeAlias = Callable[[int, int], Claim | None]
"""`further(count, beside)` claims up to so many trials like this one; None when there are to be no more."""


class Supply:
    """One claim on its way at most. All but the claim itself happens in the thread of the caller."""

    def __init__(self, further: Further) -> None:
        self._further = further
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="claim")
        self._coming: Future[Claim | None] | None = None
        self._waits: Iterator[float] | None = None
        self._ask_at = 0.0

    @property
    def coming(self) -> bool:
        """Whether a claim is on its way, or what it brought has not been fetched."""
        return self._coming is not None

    def ask(self, count: int, beside: int) -> None:
        """Claim up to so many trials like this one, unless a claim is on its way or was in vain a moment ago."""
        if self._coming is None and count > 0 and time.monotonic() >= self._ask_at:
            self._coming = self._thread.submit(self._further, count, beside)

    def arrived(self) -> Sequence[Claimed]:
        """What a claim has brought by now."""
        return self.awaited() if self._coming is not None and self._coming.done() else ()

    def awaited(self) -> Sequence[Claimed]:
        """What the claim on its way brings."""
        assert self._coming is not None
        coming, self._coming = self._coming, None
        try:
            claim = coming.result()
        except Exception as error:  # noqa: BLE001  # what is in training goes on; the worker will ask, and fail, itself
            logger.warning("no further trials can be claimed beside those in training: %s", error)
            claim = None
        if claim is None:
            self._ask_at = float("inf")
            return ()
        if claim.trials:
            self._waits, self._ask_at = None, 0.0
        else:
            self._waits = self._waits or delays(first=FIRST_S, longest=max(FIRST_S, claim.retry_after_s))
            self._ask_at = time.monotonic() + next(self._waits)
        return claim.trials

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
