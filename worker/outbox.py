"""What the worker has to tell the service, kept in order and sent until it has arrived."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from client.errors import LeaseLost, RequestRefused, ServiceUnavailable, UnexpectedAnswer
from client.leases import LeaseClient
from contract.artifacts import CHECKPOINT
from contract.leases import (
    MAX_POINTS_PER_REPORT,
    Completion,
    CompletionBatch,
    Failure,
    LeaseRef,
    Release,
    ReportBatch,
    TrialReport,
)
from worker.backoff import delays
from worker.cache import Cache
from worker.holdings import Holdings
from worker.messages import Checkpoint, Message, gathered, merged
from worker.snapshot_file import encode

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
LINGER_S = 1.0
"""Points wait this long for company, so that a fast trial costs the service one batch, not a hundred."""

SENDERS = 8
"""Failures and releases on their way at a time: a worker that has to go gives back all that it holds."""

CAPACITY = 100_000
"""Messages kept while the service is away. Beyond them the outbox is full and training has to wait for it."""

MAX_ERROR = 8_000


class _Ended(NamedTuple):
    """A result, and the points before it that nobody has been told."""

    end: Completion
    last: TrialReport | None


class Outbox:
    """A thread that sends. Stale leases and refusals are told to `holdings`; messages of a lost lease are discarded."""

    def __init__(self, client: LeaseClient, holdings: Holdings, cache: Cache, *, linger_s: float = LINGER_S) -> None:
        self._client, self._holdings, self._cache, self._linger_s = client, holdings, cache, linger_s
        self._files: dict[LeaseRef, Path] = {}
        self._waiting: deque[Message] = deque()
        self._sending = 0
        self._urgent = self._closing = self._given_up = False
        self._changed = threading.Condition()
        self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="ending")
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Messages that have not been acknowledged yet."""
        with self._changed:
            return len(self._waiting) + self._sending

    @property
    def full(self) -> bool:
        """Whether `put` should wait; it never refuses."""
        return self.pending >= CAPACITY

    def put(self, message: Message) -> None:
        """Send this after all that was put before; all but points goes out at once, and what waits before it too.

        A callable is called, in the outbox's thread, once all before it has arrived or been discarded.
        """
        with self._changed:
            if isinstance(message, Checkpoint | Completion | Failure):
                self._waiting = deque(one for one in self._waiting if not _overtaken(one, message.lease))
            self._waiting.append(message)
            self._urgent = self._urgent or not isinstance(message, TrialReport)
            if len(self._waiting) == 1 or self._ready():  # else the thread lingers: waking it is for nothing
                self._changed.notify_all()

    def flushed(self, timeout_s: float) -> bool:
        """Wait until everything has been acknowledged, at most so long; whether it has."""
        with self._changed:
            self._urgent = bool(self._waiting)
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting and not self._sending, timeout=timeout_s)

    def close(self) -> None:
        """Stop; what has not been acknowledged by now is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=15.0)
        self._senders.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while batch := self._take():
            match batch[0]:
                case TrialReport() | Completion():
                    self._tell(batch)
                case Checkpoint() as checkpoint:
                    self._deliver_checkpoint(checkpoint)
                case Failure() | Release():
                    list(self._senders.map(self._give_back, batch))
                case call:
                    call()
            with self._changed:
                self._sending = len(batch) if self._given_up else 0
                self._changed.notify_all()

    def _take(self) -> list[Message]:
        """The message at the head, with those like it that one request may hold. Empty when closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting)
            self._changed.wait_for(self._ready, timeout=self._linger_s)
            if self._closing:
                return []
            batch = gathered(self._waiting)
            self._sending = len(batch)
            self._urgent = self._urgent and bool(self._waiting)
            self._changed.notify_all()
            return batch

    def _ready(self) -> bool:
        return self._closing or self._urgent or len(self._waiting) >= MAX_POINTS_PER_REPORT

    def _tell(self, batch: Sequence[Message]) -> None:
        """Send points and results: what is the last of a trial goes with its result."""
        ends = {item.lease: item for item in batch if isinstance(item, Completion)}
        reports = [item for item in batch if isinstance(item, TrialReport)]
        self._deliver([item for item in reports if item.lease not in ends])
        last = {item.lease: item for item in merged(item for item in reports if item.lease in ends)}
        self._complete([_Ended(end, last.get(lease)) for lease, end in ends.items()])

    def _deliver(self, reports: list[TrialReport]) -> None:
        """Send the reports as one batch; when it is refused, trial by trial, so that only the culprit suffers."""
        current = [item for item in merged(reports) if not self._holdings.is_lost(item.lease)]
        if not current:
            return
        try:
            answer = self._insist(lambda: self._client.report(ReportBatch(reports=current)))
        except RequestRefused as error:
            if len(current) == 1:
                self._refused(current[0].lease, error)
                return
            for item in current:
                self._deliver([item])
        else:
            if answer is not None:
                self._holdings.heard(answer[0].leases, answer[1])

    def _deliver_checkpoint(self, checkpoint: Checkpoint) -> None:
        """A trial goes on without one that cannot be kept."""
        lease, step = checkpoint.lease, checkpoint.snapshot.step
        if self._holdings.is_lost(lease):
            return
        try:
            path = self._cache.write(encode(checkpoint.snapshot))
            sent = self._insist(lambda: self._client.put_artifact(lease, CHECKPOINT, path, step=step))
        except LeaseLost:
            self._holdings.lost(lease)
        except (RequestRefused, OSError, ValueError) as error:
            logger.warning("trial %d: the checkpoint after %d steps was not kept: %s", lease.trial_id, step, error)
        else:
            if sent is not None:
                self._kept(lease, path)

    def _kept(self, lease: LeaseRef, path: Path | None) -> None:
        """The file of the checkpoint that counts from now on; None: none does."""
        before = self._files.pop(lease, None)
        if before is not None and before != path:
            self._cache.remove(before)
        if path is not None:
            self._files[lease] = path

    def _complete(self, ended: Sequence[_Ended]) -> None:
        """As `_deliver`; a result that the service refuses for itself ends its trial as a failure."""
        for one in ended:
            self._kept(one.end.lease, None)
        current = [one for one in ended if not self._holdings.is_lost(one.end.lease)]
        if not current:
            return
        reports = [one.last for one in current if one.last is not None]
        batch = CompletionBatch(completions=[one.end for one in current], reports=reports)
        try:
            self._insist(lambda: self._client.complete(batch))
        except RequestRefused as error:
            if len(current) > 1:
                for one in current:
                    self._complete([one])
                return
            ending = current[0].end
            self._refused(ending.lease, error)
            if not isinstance(error, LeaseLost):
                text = f"the service refused its result: {error}"[:MAX_ERROR]
                self._give_back(Failure(lease=ending.lease, error=text, device_seconds=ending.device_seconds))

    def _give_back(self, ending: Failure | Release) -> None:
        """A trial without a result."""
        if isinstance(ending, Failure):
            self._kept(ending.lease, None)
        if self._holdings.is_lost(ending.lease):
            return
        try:
            match ending:
                case Failure():
                    self._insist(lambda: self._client.fail(ending))
                case Release():
                    self._insist(lambda: self._client.release(ending))
        except RequestRefused as error:
            self._refused(ending.lease, error)

    def _refused(self, lease: LeaseRef, error: RequestRefused) -> None:
        if isinstance(error, LeaseLost):
            self._holdings.lost(lease)
        else:
            logger.error("trial %d: the service refused what it was sent: %s", lease.trial_id, error)
            self._holdings.refused(lease, str(error))

    def _insist(self, send: Callable[[], Answer]) -> tuple[Answer, float] | None:
        """The answer and when it was asked for, however long the service is away; None when closed before it came."""
        away_since: float | None = None
        for delay in delays():
            sent_at = time.monotonic()
            try:
                answer = send()
            except (ServiceUnavailable, UnexpectedAnswer) as error:
                if away_since is None:
                    away_since = sent_at
                    logger.warning("the service is away, keeping what there is to tell: %s", error)
                wished = error.retry_after if isinstance(error, ServiceUnavailable) else None
                if self._closed_within(max(delay, wished or 0.0)):
                    self._given_up = True
                    break
            else:
                if away_since is not None:
                    logger.info("the service is back after %.1f s", sent_at - away_since)
                return answer, sent_at
        return None

    def _closed_within(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._closing, timeout=seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _overtaken(message: Message, lease: LeaseRef) -> bool:
    return isinstance(message, Checkpoint) and message.lease == lease
