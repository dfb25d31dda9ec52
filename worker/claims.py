"""How a worker comes by trials: it claims them, holds their leases, and makes of each what is to be trained."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from client.errors import ServiceUnavailable, UnexpectedAnswer
from client.leases import LeaseClient
from contract.leases import ClaimReply, ClaimRequest, Lease, LeaseRef, WorkerInfo
from worker.backoff import delays
from worker.engine import Job
from worker.tasks import TaskError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A trial whose lease is held; `job` is what is to be trained, or in words why nothing can be."""

    lease: Lease
    ref: LeaseRef
    job: Job | str


class Claim(NamedTuple):
    """What came of a claim, and after how many seconds to ask again when that is nothing."""

    trials: Sequence[Claimed]
    retry_after_s: float


class Claims:
    """Claims for one worker, one at a time.

    `hold(ref, ttl_s, claimed_at)` keeps a lease, `job(lease, ref)` makes a job and raises TaskError or ValueError, and
    `nap(seconds)` waits, and says whether to ask on.
    """

    def __init__(
        self,
        client: LeaseClient,
        worker: WorkerInfo,
        *,
        hold: Callable[[LeaseRef, float, float], None],
        job: Callable[[Lease, LeaseRef], Job],
        nap: Callable[[float], bool],
    ) -> None:
        self._client, self._worker = client, worker
        self._hold, self._job, self._nap = hold, job, nap
        self._answered = False

    def claim(self, count: int, *, beside: int | None = None, wait_s: float = 0.0) -> Claim | None:
        """Up to `count` trials, with `beside` such as may be trained with this one; None when told to ask no longer.

        Where there is none, the answer may take `wait_s` seconds.
        """
        token = secrets.token_urlsafe(32)
        request = ClaimRequest(worker=self._worker, token=token, max_trials=count, beside=beside, wait_s=wait_s)
        answer = self._answer(request)
        if answer is None:
            return None
        reply, asked_at = answer
        refs = [LeaseRef(trial_id=lease.trial.id, attempt=lease.attempt, token=token) for lease in reply.leases]
        for lease, ref in zip(reply.leases, refs, strict=True):
            self._hold(ref, lease.ttl_s, asked_at)
        trials = [self._claimed(lease, ref) for lease, ref in zip(reply.leases, refs, strict=True)]
        return Claim(trials, reply.retry_after_s)

    def _claimed(self, lease: Lease, ref: LeaseRef) -> Claimed:
        try:
            return Claimed(lease, ref, self._job(lease, ref))
        except (TaskError, ValueError) as error:
            return Claimed(lease, ref, str(error))

    def _answer(self, request: ClaimRequest) -> tuple[ClaimReply, float] | None:
        """Ask, with the same token until an answer comes: had one been lost, it comes again. When it was asked for."""
        away = False
        for delay in delays():
            asked_at = time.monotonic()
            try:
                reply = self._client.claim(request)
            except (ServiceUnavailable, UnexpectedAnswer) as error:
                if isinstance(error, UnexpectedAnswer) and not self._answered:
                    raise
                if not away:
                    away = True
                    logger.warning("no answer, trying on until there is one: %s", error)
                wished = error.retry_after if isinstance(error, ServiceUnavailable) else None
                if not self._nap(max(delay, wished or 0.0)):
                    break
            else:
                if away or not self._answered:
                    logger.info("connected to %s", self._client.url)
                self._answered = True
                return reply, asked_at
        return None
