"""The worker's end of the heartbeat process: starts it, feeds it, and passes on what it hears."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from contract.leases import LeaseRef
from worker.backoff import delays
from worker.beats import Beat, Drop, Hold, Tick

logger = logging.getLogger(__name__)

FIRST_RESTART_S, LONGEST_RESTART_S = 1.0, 30.0


class Pulse:
    """Keeps the held leases alive while `progress()` keeps changing; `on_beat` hears every beat, in another thread.

    A heartbeat process that dies is started again, with all held leases.
    """

    def __init__(
        self,
        url: str,
        worker_id: str,
        *,
        stall_s: float,
        progress: Callable[[], int],
        on_beat: Callable[[Beat], None],
    ) -> None:
        # -P: a folder `client` where the user stands must not be taken for ours.
        self._command = [sys.executable, "-P", "-m", "worker.heartbeat", "--url", url, "--worker", worker_id]
        self._command += ["--stall", str(stall_s)]
        self._progress, self._on_beat = progress, on_beat
        self._seen = progress()
        self._holds: dict[LeaseRef, Hold] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._beating = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._listen, name="pulse", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The heartbeat process."""
        return self._process.pid

    @property
    def beating(self) -> bool:
        """Whether the heartbeat process has ever shown itself; until then nobody renews what is held."""
        return self._beating.is_set()

    def hold(self, lease: LeaseRef, ttl_s: float) -> None:
        """Keep this lease alive until it is dropped."""
        with self._lock:
            self._holds[lease] = Hold(lease=lease, interval_s=ttl_s / 3, first_s=ttl_s / 3)
            self._write(self._holds[lease])

    def drop(self, lease: LeaseRef) -> None:
        with self._lock:
            self._holds.pop(lease, None)
            self._write(Drop(lease=lease))

    def close(self) -> None:
        """End the process; renewing stops at once."""
        self._closing.set()
        with self._lock:
            self._hang_up()
        self._thread.join(timeout=5.0)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _start(self) -> subprocess.Popen[str]:
        # In a session of its own, so that Ctrl-C does not reach it: a worker that drains still needs its leases.
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            encoding="utf-8",
            start_new_session=True,
        )

    def _write(self, line: Hold | Drop | Tick) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.model_dump_json() + "\n")
        except (BrokenPipeError, ValueError):
            logger.debug("the heartbeat process is gone; it is started again with all leases")

    def _hang_up(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def _listen(self) -> None:
        for delay in delays(first=FIRST_RESTART_S, longest=LONGEST_RESTART_S):
            assert self._process.stdout is not None
            with self._process.stdout as lines:
                for line in lines:
                    self._on_beat(Beat.model_validate_json(line))
                    self._beating.set()
                    self._tick()
            code = self._process.wait()
            self._closing.wait(timeout=delay)
            with self._lock:
                self._hang_up()
                if self._closing.is_set():
                    return
                logger.warning("the heartbeat process ended with code %d; starting it again", code)
                self._process = self._start()
                for hold in self._holds.values():
                    self._write(hold.model_copy(update={"first_s": 0.0}))

    def _tick(self) -> None:
        """Answer a beat with a tick when training has moved since the last one."""
        progress = self._progress()
        if progress != self._seen:
            self._seen = progress
            with self._lock:
                self._write(Tick())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
