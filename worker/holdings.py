"""The leases this worker holds, what the service has said about each, and until when each is known to be held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from contract.leases import LeaseRef, LeaseState

PAUSED = "its study was paused"
"""The one end after which the trial is to go on where it was."""


@dataclass(slots=True)
class Holding:
    """A held lease, until `until` at least: time.monotonic(), which all processes of a machine share.

    `end` is why its trial must not be trained further, None while it may; `refused` is what the service then said.
    """

    lease: LeaseRef
    until: float
    end: str | None = None
    lost: bool = False
    refused: str | None = None


class Holdings:
    """Shared by the threads of a worker. `on_end` is called when a trial must not be trained further."""

    def __init__(self, on_end: Callable[[Holding], None]) -> None:
        self._on_end = on_end
        self._held: dict[tuple[int, int], Holding] = {}
        self._lock = threading.Lock()

    def hold(self, lease: LeaseRef, until: float) -> None:
        with self._lock:
            self._held[_key(lease)] = Holding(lease, until)

    def forget(self, lease: LeaseRef) -> None:
        with self._lock:
            self._held.pop(_key(lease), None)

    def of(self, lease: LeaseRef) -> Holding:
        with self._lock:
            return self._held[_key(lease)]

    def is_lost(self, lease: LeaseRef) -> bool:
        with self._lock:
            item = self._held.get(_key(lease))
            return item is not None and item.lost

    def overdue(self, now: float) -> list[LeaseRef]:
        """The leases that nobody has renewed in time, as far as is known here."""
        with self._lock:
            return [item.lease for item in self._held.values() if item.end is None and item.until < now]

    def heard(self, states: Iterable[LeaseState], sent_at: float) -> None:
        """Take in the service's answer to a request sent at `sent_at`."""
        for state in states:
            if not state.held:
                self._end((state.trial_id, state.attempt), "its lease was lost", lost=True)
                continue
            with self._lock:
                item = self._held.get((state.trial_id, state.attempt))
                if item is not None:
                    item.until = max(item.until, sent_at + state.ttl_s)
            if state.directive != "continue":
                why = PAUSED if state.directive == "pause" else "its study was stopped"
                self._end((state.trial_id, state.attempt), why)

    def lost(self, lease: LeaseRef) -> None:
        """The service refused a write: the trial belongs to somebody else."""
        self._end(_key(lease), "its lease was lost", lost=True)

    def refused(self, lease: LeaseRef, error: str) -> None:
        """The service refused what the trial reported, for good."""
        self._end(_key(lease), "the service refused its reports", refused=error)

    def _end(self, key: tuple[int, int], why: str, *, lost: bool = False, refused: str | None = None) -> None:
        with self._lock:
            item = self._held.get(key)
            if item is None or (item.end is not None and not lost):
                return
            item.end, item.lost, item.refused = why, lost, refused
        self._on_end(item)


def _key(lease: LeaseRef) -> tuple[int, int]:
    return lease.trial_id, lease.attempt
