"""Tells those who wait that what they wait for may be there, and that the service leaves."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Bell:
    """Rung from any thread, heard in the event loop. A waiter costs a timer and holds nothing else.

    It is rung for what this process does; who must know what others have done looks from time to time.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = asyncio.Event()
        self.waiting = 0
        self.closed = False

    def start(self) -> None:
        """Be heard, from the event loop of those who wait."""
        self._loop = asyncio.get_running_loop()

    def ring(self) -> None:
        """Wake all who wait."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring)

    def close(self) -> None:
        """The service leaves: nobody waits any longer."""
        self.closed = True
        self._next.set()

    def next(self) -> asyncio.Event:
        """The next ring from now on; ask for it before looking, and none is missed."""
        return self._next

    async def heard(self, ring: asyncio.Event, seconds: float) -> None:
        """Wait for that ring, so long at most."""
        self.waiting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await ring.wait()
        finally:
            self.waiting -= 1

    def _ring(self) -> None:
        if not self.closed:
            self._next.set()
            self._next = asyncio.Event()
