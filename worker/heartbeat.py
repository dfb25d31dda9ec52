"""The heartbeat process, `python -m worker.heartbeat`: renews leases apart from training, which cannot starve it.

It ends when its stdin closes, which is when the worker has died, and renews nothing while the worker is stalled.
"""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator

from client.errors import SwitchbackError
from client.leases import LeaseClient
from contract.leases import HeartbeatRequest, LeaseRef
from worker.beats import COMMANDS, Beat, Drop, Hold, Tick

AWAY_RETRY_S = 5.0


class Heart:
    """The leases to renew and when; `stall_s` after the last tick it renews no more until the next one."""

    def __init__(self, client: LeaseClient, worker_id: str, *, stall_s: float) -> None:
        self._client = client
        self._worker_id = worker_id
        self._stall_s = stall_s
        self._leases: dict[LeaseRef, float] = {}
        self._ticked_at = time.monotonic()
        self._next_at = float("inf")

    def wait_s(self) -> float | None:
        """Seconds until the next beat is due; None when there is nothing to renew."""
        return max(0.0, self._next_at - time.monotonic()) if self._leases else None

    def obey(self, command: Hold | Drop | Tick) -> None:
        match command:
            case Hold(lease=lease):
                self._leases[lease] = command.interval_s
                self._next_at = min(self._next_at, time.monotonic() + command.first_s)
                self._ticked_at = time.monotonic()
            case Drop(lease=lease):
                self._leases.pop(lease, None)
            case Tick():
                self._ticked_at = time.monotonic()
        if not self._leases:
            self._next_at = float("inf")

    def beat(self) -> Beat:
        sent_at = time.monotonic()
        interval = min(self._leases.values())
        self._next_at = sent_at + interval
        if sent_at - self._ticked_at > self._stall_s:
            return Beat(sent_at=sent_at, stalled=True)
        try:
            request = HeartbeatRequest(worker_id=self._worker_id, leases=list(self._leases))
            states = self._client.heartbeat(request).leases
        except SwitchbackError as error:
            self._next_at = sent_at + min(interval, AWAY_RETRY_S)
            return Beat(sent_at=sent_at, away=str(error) or type(error).__name__)
        gone = {(state.trial_id, state.attempt) for state in states if not state.held}
        self._leases = {ref: every for ref, every in self._leases.items() if (ref.trial_id, ref.attempt) not in gone}
        return Beat(sent_at=sent_at, leases=states)


def commands(lines: queue.Queue[str | None], heart: Heart) -> Iterator[Beat]:
    """First a sign of life, then each beat when it is due, obeying lines in between; ends at None, the input's end."""
    yield Beat(sent_at=time.monotonic())
    while True:
        try:
            line = lines.get(timeout=heart.wait_s())
        except queue.Empty:
            yield heart.beat()
            continue
        if line is None:
            return
        heart.obey(COMMANDS.validate_json(line))


def main() -> None:
    parser = argparse.ArgumentParser(description="Renew the leases named on stdin.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--worker", required=True, help="the worker's id")
    parser.add_argument(
        "--stall", type=float, required=True, help="seconds without a tick after which nothing is renewed"
    )
    given = parser.parse_args()
    # Whoever stops the worker may signal all its processes, but a worker that drains still needs its leases.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    with LeaseClient(given.url) as client:
        for beat in commands(lines, Heart(client, given.worker, stall_s=given.stall)):
            sys.stdout.write(beat.model_dump_json() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
