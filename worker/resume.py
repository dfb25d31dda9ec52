"""Where a trial goes on: its checkpoint, from this machine's disk or from the service."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from client.errors import ServiceUnavailable, SwitchbackError
from client.leases import LeaseClient
from contract.artifacts import ArtifactView
from contract.leases import LeaseRef
from worker.backoff import delays
from worker.cache import Cache
from worker.engine import Snapshot, UnfitError
from worker.snapshot_file import decode

logger = logging.getLogger(__name__)

PATIENCE_S = 300.0
"""How long to ask for a checkpoint before training from the beginning: dear, but less so than not to train at all."""


class Resuming:
    """Gets checkpoints. `nap(seconds)` waits, and says whether to try on."""

    def __init__(self, client: LeaseClient, cache: Cache, nap: Callable[[float], bool]) -> None:
        self._client, self._cache, self._nap = client, cache, nap

    def snapshot(self, lease: LeaseRef, wanted: ArtifactView) -> Snapshot | None:
        """What the checkpoint holds; None, with the reason in the log, when it cannot be had.

        The file on this disk goes: the service has it, and the trial's next checkpoint will be another.
        """
        try:
            content = self._cache.read(wanted.sha256) or self._downloaded(lease, wanted)
            self._cache.remove(self._cache.path(wanted.sha256))
            return None if content is None else decode(content)
        except (SwitchbackError, UnfitError, OSError) as error:
            logger.warning(
                "trial %d is trained from its beginning, not from step %d: its checkpoint cannot be had: %s",
                wanted.trial_id,
                wanted.step,
                error,
            )
            return None

    def _downloaded(self, lease: LeaseRef, wanted: ArtifactView) -> bytes | None:
        """Its content; None when told to try no longer. Raises SwitchbackError, or OSError."""
        give_up_at = time.monotonic() + PATIENCE_S
        for delay in delays():
            try:
                self._client.get_artifact(lease, wanted, self._cache.path(wanted.sha256))
                return self._cache.read(wanted.sha256)
            except ServiceUnavailable as error:
                if time.monotonic() > give_up_at:
                    raise
                logger.info("the checkpoint of trial %d cannot be had yet: %s", wanted.trial_id, error)
                if not self._nap(max(delay, error.retry_after or 0.0)):
                    break
        return None
