"""Housekeeping, in a thread of its own: a slow disk or bucket must not hold up the sweep of leases."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from service import artifacts, idempotency, roster
from service.archive import archive
from service.artifact_store import ArtifactStore
from service.database import Database
from service.errors import Overloaded
from service.settings import Settings

log = logging.getLogger(__name__)

ROUND_S = 600.0
"""Between looks at what grows slowly; with `artifacts.ORPHANED_AFTER` a file without a row is gone within the hour."""
STUDIES_A_ROUND = 20
LEAVE_S = 5.0


class Keeper:
    """Removes what nobody needs any more: checkpoints, orphaned files, old keys, workers and points."""

    def __init__(self, database: Database, settings: Settings, store: ArtifactStore) -> None:
        self._database = database
        self._settings = settings
        self._store = store
        self._stop = threading.Event()
        self._next_round = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the step under way; one that takes long is cut off, and done again at the next start."""
        self._stop.set()
        self._thread.join(LEAVE_S)

    def _run(self) -> None:
        while not self._stop.wait(self._settings.sweep_s):
            self._guarded(self._checkpoints)
            if time.monotonic() >= self._next_round:
                self._next_round = time.monotonic() + ROUND_S
                for step in (self._orphans, self._rows, self._curves):
                    self._guarded(step)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Overloaded as error:
            log.warning("housekeeping has to wait: %s", error)
        except Exception:
            if not self._stop.is_set():
                log.exception("housekeeping failed; trying again later")

    def _checkpoints(self) -> None:
        artifacts.collect_checkpoints(self._database, self._store)

    def _orphans(self) -> None:
        found = artifacts.collect_orphans(self._database, self._store, now=datetime.now(UTC))
        if found:
            log.info("%d files of artifacts that no trial names were removed", found)

    def _rows(self) -> None:
        with self._database.write() as session:
            now = self._database.now(session)
            idempotency.expire(session, now=now)
            roster.forget(session, now=now)

    def _curves(self) -> None:
        days = self._settings.retain_curves_days
        if days is None:
            return
        with self._database.read() as session:
            before = self._database.now(session) - timedelta(days=days)
        found = archive(self._database, before=before, limit=STUDIES_A_ROUND)
        if found:
            log.info("the curves of %d studies were thinned (retain_curves_days: %g)", found, days)
