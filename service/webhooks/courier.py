"""The thread that empties the outbox."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from service.database import Database
from service.webhooks import outbox, signing
from service.webhooks.outbox import Due
from service.webhooks.sender import Sender, Undelivered

log = logging.getLogger(__name__)

AT_A_TIME = 4
BEAT_S = 1.0


class Courier:
    """Sends what is due, a few at a time, until closed."""

    def __init__(self, database: Database, sender: Sender) -> None:
        self._database, self._sender = database, sender
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the messages under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def round(self) -> int:
        """Send what is due now; how many messages that were."""
        with self._database.write() as session:
            due = outbox.take(session, now=self._database.now(session), limit=AT_A_TIME)
        if due:
            with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="webhook") as pool:
                for one, error in zip(due, pool.map(self._send, due), strict=True):
                    with self._database.write() as session:
                        outbox.settle(session, one.id, error, now=self._database.now(session))
        return len(due)

    def _send(self, due: Due) -> str | None:
        """None once delivered, else why not."""
        with self._database.read() as session:
            now = self._database.now(session)
        try:
            self._sender.post(due.url, due.body, signing.headers(due.secret, due.message_id, due.body, now=now))
        except Undelivered as error:
            log.info("webhook message %s was not delivered: %s", due.message_id, error)
            return str(error)
        return None

    def _run(self) -> None:
        while not self._stop.wait(BEAT_S):
            try:
                while self.round() and not self._stop.is_set():
                    pass
            except Exception:
                log.exception("sending webhooks failed; trying again soon")
