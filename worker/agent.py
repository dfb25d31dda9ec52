"""The worker's life: claim, train, tell, until it is told to stop."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from client.errors import SwitchbackError
from client.leases import LeaseClient
from contract.leases import HeartbeatRequest, Lease, LeaseRef, WorkerInfo
from worker import translate
from worker.beats import Beat
from worker.cache import Cache
from worker.claims import Claim, Claimed, Claims
from worker.engine import Engine, Job, Steering
from worker.holdings import Holding, Holdings
from worker.messages import Message
from worker.outbox import Outbox
from worker.pulse import Pulse
from worker.resume import Resuming
from worker.shift import Shift
from worker.supply import Supply
from worker.tasks import Registry

logger = logging.getLogger(__name__)

NAP_S = 0.05
MOST_TRIALS = 1_024
"""As many as a claim may ask for."""

WAIT_S = 2.0
"""How long a claim waits for a trial: longer would make a worker slow to leave, and a new trial ends it at once."""

PARTING_S = 5.0
"""How long a worker that was told to stop at once, or whose grace is over, still tries to give back its trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Durations in seconds. `grace_s`: how long a drained worker may go on with the trials it has. `stall_s`: without
    progress for so long, its leases are renewed no more. `checkpoint_every_s`: what is lost at most when the machine
    is; 0 keeps nothing. None: no limit.
    """

    grace_s: float = 30.0
    stall_s: float = 600.0
    checkpoint_every_s: float = 30.0
    max_trials: int | None = None
    exit_when_idle_s: float | None = None

    def __post_init__(self) -> None:
        if not self.grace_s >= 0:
            raise ValueError(f"grace_s: need at least 0 seconds, got {self.grace_s}")
        if not self.stall_s > 0:
            raise ValueError(f"stall_s: need more than 0 seconds, got {self.stall_s}")
        if not self.checkpoint_every_s >= 0:
            raise ValueError(f"checkpoint_every_s: need at least 0 seconds, got {self.checkpoint_every_s}")
        if self.max_trials is not None and self.max_trials < 1:
            raise ValueError(f"max_trials: need at least 1, got {self.max_trials}")
        if self.exit_when_idle_s is not None and not self.exit_when_idle_s >= 0:
            raise ValueError(f"exit_when_idle_s: need at least 0 seconds, got {self.exit_when_idle_s}")


class Agent:
    """Trains what the service hands out. `run` in one thread; `drain` and `cut` may be called from a signal handler."""

    def __init__(
        self,
        client: LeaseClient,
        worker: WorkerInfo,
        *,
        engine: Engine,
        registry: Registry,
        cache: Cache,
        settings: Settings,
    ) -> None:
        self._client, self._worker, self._cache = client, worker, cache
        self._engine, self._registry, self._settings = engine, registry, settings
        self._holdings = Holdings(self._end_trial)
        self._shift: Shift | None = None
        self._draining = self._cut = False
        self._naps = 0
        self._away = False
        self._ask_at = 0.0
        self.trials = 0

    @property
    def draining(self) -> bool:
        """Whether it claims no more."""
        return self._draining

    def drain(self) -> None:
        """Claim no more; finish the trials at hand within the grace, else give them back."""
        if not self._draining:
            self._draining = True
            logger.info("stopping after the trial at hand, or in %g s; once more to stop now", self._settings.grace_s)
            timer = threading.Timer(self._settings.grace_s, self.cut)
            timer.daemon = True
            timer.start()

    def cut(self) -> None:
        """Give the trials at hand back at once and end."""
        self._draining = self._cut = True
        if self._shift is not None:
            self._shift.steering.drop_all()

    def run(self) -> int:
        """Work until drained, or until `max_trials` or `exit_when_idle_s` is reached; messages that never arrived."""
        pulse = Pulse(
            self._client.url,
            self._worker.id,
            stall_s=self._settings.stall_s,
            progress=self._progress,
            on_beat=self._on_beat,
        )

        def hold(ref: LeaseRef, ttl_s: float, claimed_at: float) -> None:
            self._holdings.hold(ref, claimed_at + ttl_s)
            pulse.hold(ref, ttl_s)

        claims = Claims(self._client, self._worker, hold=hold, job=self._job, nap=self._nap)
        with pulse, Outbox(self._client, self._holdings, self._cache) as outbox:
            idle_since: float | None = None
            while not pulse.beating and not self._draining:  # on a busy machine its start takes longer than a lease
                self._nap(NAP_S)
            while (claim := self._claim(claims, self._engine.capacity, wait_s=self._patience(idle_since))) is not None:
                if claim.trials:
                    idle_since = None
                    self._work(claim.trials, claims, pulse, outbox)
                else:
                    idle_since = self._idle(idle_since, claim.retry_after_s)
            self._flush(outbox)
            return outbox.pending

    def _done(self) -> bool:
        limit = self._settings.max_trials
        return self._draining or (limit is not None and self.trials >= limit)

    def _patience(self, idle_since: float | None) -> float:
        """How long the next claim may wait for a trial."""
        limit = self._settings.exit_when_idle_s
        if limit is None:
            return WAIT_S
        idle_s = 0.0 if idle_since is None else time.monotonic() - idle_since
        return min(WAIT_S, max(0.0, limit - idle_s))

    def _idle(self, since: float | None, retry_after_s: float) -> float:
        """Wait for work; since when there has been none."""
        limit = self._settings.exit_when_idle_s
        now = time.monotonic()
        if since is None:
            since = now
            logger.info("no trial to train at the moment, waiting")
        if limit is not None and now - since >= limit:
            logger.info("no trial for %g s, ending as asked", limit)
            self._draining = True
            return since
        # Jittered, so that a fleet that went idle together does not ask together.
        wait = retry_after_s * random.uniform(0.75, 1.25)  # noqa: S311  # not a secret
        self._nap(wait if limit is None else min(wait, max(0.0, since + limit - now)))
        return since

    def _work(self, trials: Sequence[Claimed], claims: Claims, pulse: Pulse, outbox: Outbox) -> None:
        def put(message: Message) -> None:
            while outbox.full and not self._cut:
                self._naps += 1
                time.sleep(NAP_S)
            outbox.put(message)

        def settle(refs: Sequence[LeaseRef]) -> None:
            for ref in refs:
                pulse.drop(ref)
                self._holdings.forget(ref)

        with Supply(lambda count, beside: self._claim(claims, count, beside)) as supply:
            self._shift = Shift(
                trials,
                supply,
                engine=self._engine,
                steering=Steering(checkpoint_every_s=self._settings.checkpoint_every_s),
                holdings=self._holdings,
                put=put,
                settle=settle,
            )
            if self._cut:
                self._shift.steering.drop_all()
            self._shift.train(self._check_leases)
            self._shift = None

    def _claim(self, claims: Claims, count: int, beside: int | None = None, *, wait_s: float = 0.0) -> Claim | None:
        """Up to so many trials, within `max_trials`; None when there are to be no more."""
        if self._done():
            return None
        limit, count = self._settings.max_trials, min(count, MOST_TRIALS)
        claim = claims.claim(count if limit is None else min(count, limit - self.trials), beside=beside, wait_s=wait_s)
        self.trials += len(claim.trials) if claim is not None else 0
        return claim

    def _job(self, lease: Lease, ref: LeaseRef) -> Job:
        """What the lease asks for, from its checkpoint on where there is one. Raises TaskError, or ValueError."""
        job = translate.job(lease.trial, self._registry)
        if lease.checkpoint is None:
            return job
        return replace(job, resume=Resuming(self._client, self._cache, self._waited).snapshot(ref, lease.checkpoint))

    def _waited(self, seconds: float) -> bool:
        """Sleep, unless the trials at hand are to be given back; whether they are not."""
        until = time.monotonic() + seconds
        while not self._cut and (left := until - time.monotonic()) > 0:
            self._naps += 1
            time.sleep(min(NAP_S, left))
        return not self._cut

    def _flush(self, outbox: Outbox) -> None:
        """Wait until the service knows how the trials ended; a worker that has to go gives up after PARTING_S."""
        give_up_at = math.inf
        while not outbox.flushed(NAP_S):
            self._naps += 1
            if self._cut:
                give_up_at = min(give_up_at, time.monotonic() + PARTING_S)
            if time.monotonic() > give_up_at:
                logger.warning("%d messages could not be delivered; the leases will expire", outbox.pending)
                return

    def _check_leases(self) -> None:
        """When a lease has outlived its last renewal, ask about it ourselves: the heartbeat process may be gone.

        While the service is away training goes on: it gives leases the time of its absence when it is back, and refuses
        what was lost.
        """
        now = time.monotonic()
        if self._away or now < self._ask_at or not (overdue := self._holdings.overdue(now)):
            return
        self._ask_at = now + 5.0
        logger.warning("%d leases have outlived their last renewal; asking the service", len(overdue))
        try:
            reply = self._client.heartbeat(HeartbeatRequest(worker_id=self._worker.id, leases=overdue))
        except SwitchbackError as error:
            logger.warning("the service cannot say: %s", error)
        else:
            self._holdings.heard(reply.leases, now)

    def _on_beat(self, beat: Beat) -> None:
        """Called in the thread that listens to the heartbeat process."""
        self._away = beat.away is not None
        if beat.stalled:
            logger.warning("no progress for %g s: the leases are renewed no more", self._settings.stall_s)
        self._holdings.heard(beat.leases, beat.sent_at)

    def _end_trial(self, holding: Holding) -> None:
        if (shift := self._shift) is not None:
            shift.end(holding)

    def _progress(self) -> int:
        """Grows while the worker works: with every update of the engine, and with every wait of ours."""
        shift = self._shift
        return self._naps + (shift.steering.polls if shift is not None else 0)

    def _nap(self, seconds: float) -> bool:
        """Sleep until draining; whether it is not. In slices: signal handlers only set flags, which cut none short."""
        until = time.monotonic() + seconds
        while not self._draining and (left := until - time.monotonic()) > 0:
            self._naps += 1
            time.sleep(min(NAP_S, left))
        return not self._draining
