"""What is done for the workers: their requests of a kind that come at one moment, in the same few statements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from contract.leases import CompletionBatch, HeartbeatRequest, Lease, LeaseState, TrialReport
from contract.trials import TrialStatus
from service import planner, queue
from service.database import Database
from service.queue import Claim
from service.roster import Acquaintance
from service.writer import GROUP


class Clerk:
    """Answers all requests of a kind; each method is the `together` of a `service.jobs.Joint`."""

    def __init__(self, database: Database, *, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self.known = Acquaintance(database, ttl_s=ttl_s)
        self.unserved: set[str] = set()
        """The tokens of the claims under way that have been given nothing yet."""

    def claims(self, session: Session, now: datetime, claims: Sequence[Claim]) -> list[list[Lease]]:
        """The leases of each claim; where the queue is dry, of trials that are queued for it now."""
        leases = queue.claim(session, claims, now=now, ttl_s=self._ttl_s)
        # Who has work can wait for what is proposed with care.
        empty = [index for index, found in enumerate(leases) if not found and claims[index].request.beside is None]
        self._served(claims, leases)
        if empty and self._filled(session, [claims[index] for index in empty], now):
            again = [claims[index]._replace(known=True) for index in empty]
            found = queue.claim(session, again, now=now, ttl_s=self._ttl_s)
            self._served(again, found)
            for index, late in zip(empty, found, strict=True):
                leases[index] = late
        return leases

    def _served(self, claims: Sequence[Claim], leases: Sequence[Sequence[Lease]]) -> None:
        self.unserved -= {claim.request.token for claim, found in zip(claims, leases, strict=True) if found}

    def _filled(self, session: Session, claims: Sequence[Claim], now: datetime) -> bool:
        """Whether the queue is no longer dry for some of these claims."""
        wanted = min(max(len(claims), len(self.unserved)), GROUP)
        offered = {tuple(claim.request.worker.tasks) for claim in claims}
        filled = [planner.fill_dry(session, tasks, wanted, now=now) for tasks in offered]
        return any(filled)

    def heartbeats(
        self, session: Session, now: datetime, requests: Sequence[HeartbeatRequest]
    ) -> list[list[LeaseState]]:
        """What each asks about its leases."""
        return queue.heartbeat(session, requests, now=now, ttl_s=self._ttl_s)

    def reports(
        self, session: Session, now: datetime, batches: Sequence[Sequence[TrialReport]]
    ) -> list[list[LeaseState]]:
        """What each batch of reports is answered."""
        return queue.report(session, batches, now=now, ttl_s=self._ttl_s)

    def completions(
        self, session: Session, now: datetime, batches: Sequence[CompletionBatch]
    ) -> list[list[TrialStatus]]:
        """What becomes of the trials of each batch."""
        return queue.complete(session, batches, now=now)
