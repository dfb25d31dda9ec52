"""Ten times the load that the database takes, for a minute: what is taken is kept, the rest is told to come back.

Two thousand workers report one point at a time over connections of their own, while another program holds the
database's write lock nearly all of the time. `python -m benchmarks.overload [--quick] [--postgres]`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sqlalchemy import create_engine, select, text

from benchmarks import Figure, publish
from benchmarks.rig.load import ask, get, post
from benchmarks.rig.serving import Service, database, opened
from benchmarks.rig.work import Hand, fill, grid, reference, reported
from service.database import Database
from service.models import Point
from service.settings import Settings

WORKERS, ARRAY = 2_048, 64
HELD_S, FREE_S = 25.0, 0.12
"""How long the other program holds the write lock, and how long it leaves it: SQLite looks every 0.1 s."""
WARM_S = 10.0
"""By then every connection is there, and the queue before the writer is full: memory grows no more."""
BUSY = frozenset({429, 503})


@dataclass
class Told:
    """What the service said: statuses, refusals without `Retry-After`, connections cut, and the points it took."""

    statuses: Counter[int] = field(default_factory=Counter)
    silent: int = 0
    cut: int = 0
    taken: set[tuple[int, int]] = field(default_factory=set)

    @property
    def asked(self) -> int:
        return sum(self.statuses.values()) + self.cut


@contextmanager
def busy(url: str) -> Iterator[None]:
    """Another program writes to the database most of the time."""
    lock = "begin immediate" if url.startswith("sqlite") else "lock table trials in exclusive mode"
    over = threading.Event()

    def hold() -> None:
        options: dict[str, Any] = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
        engine = create_engine(Settings(database=url).url, isolation_level="AUTOCOMMIT", **options)
        with engine.connect() as connection:
            while not over.is_set():
                if not url.startswith("sqlite"):
                    connection.execute(text("begin"))
                connection.execute(text(lock))
                over.wait(HELD_S)
                connection.execute(text("commit"))
                over.wait(FREE_S)
        engine.dispose()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def work(address: tuple[str, int], ref: dict[str, Any], told: Told, until: float) -> None:
    """Report one point after the other, each until it is taken, waiting as long as the service asks for."""
    for step in count(1):
        data = post("/leases/report", {"reports": [reported(ref, [step])]})
        while (wait := await _send(address, data, told)) is not None:
            if time.monotonic() > until:
                return
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))  # jitter
        told.taken.add((ref["trial_id"], step))
        if time.monotonic() > until:
            return


async def _send(address: tuple[str, int], data: bytes, told: Told) -> float | None:
    """Seconds to wait before it is sent again; None when it was taken."""
    try:
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(data.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
            answer = await reader.read()
        finally:
            writer.close()
        status = int(answer[9:12])
    except (OSError, ValueError):
        told.cut += 1
        return 1.0
    told.statuses[status] += 1
    if status == 200:
        return None
    head = answer.partition(b"\r\n\r\n")[0].lower()
    told.silent += status in BUSY and b"retry-after: " not in head
    return 1.0


async def flood(service: Service, refs: list[dict[str, Any]], seconds: float) -> tuple[Told, list[int]]:
    """All workers for so long; what they were told, and the service's memory at every second."""
    told, until, memory = Told(), time.monotonic() + seconds, [service.resident()]
    workers = [asyncio.create_task(work(service.address, ref, told, until)) for ref in refs]
    while time.monotonic() < until:
        await asyncio.sleep(1)
        memory.append(service.resident())
    await asyncio.gather(*workers)
    return told, memory


def leased(service: Service, workers: int) -> list[dict[str, Any]]:
    """One lease for each worker."""
    refs: list[dict[str, Any]] = []
    for number in range(workers // ARRAY):
        token, data = Hand(number).claim(ARRAY)
        refs += [reference(lease, token) for lease in ask(service.address, data).json()["leases"]]
    return refs


def lost(own: Database, told: Told) -> int:
    """Points that were taken and are not there."""
    with own.read() as session:
        return len(told.taken - {tuple(row) for row in session.execute(select(Point.trial_id, Point.step))})


def overload(kind: str, seconds: float) -> list[Figure]:
    """The load, and what is left of it."""
    with database(kind) as url:
        own = opened(url)
        fill(own, grid(2 * WORKERS), WORKERS)
        with Service(url, "--lease-ttl", "3600") as service:
            refs = leased(service, WORKERS)
            with busy(url):
                told, memory = asyncio.run(flood(service, refs, seconds))
            begun = time.monotonic()
            answer = ask(service.address, get("/studies"))
            back_s = time.monotonic() - begun
        missing = lost(own, told)
        own.close()
    taken, warm = len(told.taken), memory[min(len(memory) - 1, round(WARM_S))]
    said = ", ".join(f"{status}: {times}" for status, times in sorted(told.statuses.items()))
    faults = sum(times for status, times in told.statuses.items() if status != 200 and status not in BUSY)
    return [
        Figure("asked for each one taken", told.asked / max(1, taken), ">= 10", f"{told.asked} in {seconds:g} s"),
        Figure("reports taken", taken, ">= 1", f"{len(refs)} workers; {said}; {told.cut} cut"),
        Figure("taken and lost", missing, "<= 0"),
        Figure("answers other than 200, 429, 503", faults, "<= 0"),
        Figure("refusals without Retry-After", told.silent, "<= 0"),
        Figure("memory grown, MiB", (max(memory) - warm) / 2**20, "<= 64", f"after {WARM_S:g} s; {warm / 2**20:.0f}"),
        Figure("seconds to a list of studies, after", back_s, "<= 5", f"answered {answer.status}"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="twenty seconds instead of a minute")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    given = parser.parse_args()
    kind = "postgresql" if given.postgres else "sqlite"
    return publish(f"overload-{kind}", overload(kind, 20 if given.quick else 60))


if __name__ == "__main__":
    sys.exit(main())
