"""A simulated day: workers come, train, go silent, leave; what grows is the work done, and nothing else.

The real application answers in process, and its clock is the simulation's: every request goes through HTTP parsing,
the gate, the group commit and the database. `python -m benchmarks.soak [--quick]`.
"""

from __future__ import annotations

import argparse
import gc
import logging
import random
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from fastapi.testclient import TestClient
from sqlalchemy import func, select

from benchmarks import Figure, publish
from benchmarks.chaos.storm import study
from benchmarks.chaos.wire import STEPS, TASK, token
from service.app import create_app
from service.database import Database
from service.models import Base
from service.settings import Settings

START = datetime(2026, 1, 1, tzinfo=UTC)
TICK_S, REPORT_S = 20.0, 60.0
"""A heartbeat every tick, a report every minute: a trial takes twelve minutes."""
WORKERS = 8
PER_STUDY = 60
LEAVES, FORGETS = 0.002, 0.002
"""Chances, each tick, that a worker ends without a word and another comes, or drops its trial."""


@dataclass
class Clock:
    """The time that every transaction of the service is told."""

    now: datetime = START


@dataclass
class Hand:
    """A worker: what it holds, and how many steps it has reported."""

    name: str
    lease: dict[str, Any] | None = None
    step: int = 0


@dataclass
class Day:
    """The simulation; `done` are the results acknowledged."""

    http: TestClient
    clock: Clock
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    hands: list[Hand] = field(default_factory=list)
    hired: int = 0
    done: int = 0
    studies: int = 0

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer, which must be a good one or a lost lease."""
        response = self.http.post(f"/api/v1{path}", json=body)
        if response.status_code not in {200, 201, 409}:
            raise SystemExit(f"{path} answered {response.status_code}: {response.text[:300]}")
        return {"lost": True} if response.status_code == 409 else dict(response.json())

    def tick(self, number: int) -> None:
        """What all workers do within one heartbeat's time."""
        self.clock.now += timedelta(seconds=TICK_S)
        while len(self.hands) < WORKERS:
            self.hands.append(Hand(f"worker-{self.hired:06}"))
            self.hired += 1
        if self.done >= (self.studies - 1) * PER_STUDY:
            self.post("/studies", study(PER_STUDY).model_dump(mode="json"))
            self.studies += 1
        for hand in list(self.hands):
            if self.draw.random() < LEAVES:
                self.hands.remove(hand)
            elif self.draw.random() < FORGETS:
                hand.lease = None
            else:
                self._work(hand, report=number % round(REPORT_S / TICK_S) == 0)

    def _work(self, hand: Hand, *, report: bool) -> None:
        if hand.lease is None:
            mine = token()
            worker = {"id": hand.name, "name": hand.name, "device": "cpu", "version": "1", "tasks": [TASK]}
            for lease in self.post("/leases/claim", {"worker": worker, "token": mine})["leases"]:
                hand.lease = {"trial_id": lease["trial"]["id"], "attempt": lease["attempt"], "token": mine}
                hand.step = 0
        elif not report:
            answer = self.post("/leases/heartbeat", {"worker_id": hand.name, "leases": [hand.lease]})
            hand.lease = hand.lease if answer["leases"][0]["held"] else None
        elif hand.step < STEPS:
            hand.step += 1
            point = {"step": hand.step, "values": {"train_loss": self.draw.random()}}
            body = {"lease": hand.lease, "total_steps": STEPS, "steps_per_epoch": STEPS, "points": [point]}
            hand.lease = None if "lost" in self.post("/leases/report", {"reports": [body]}) else hand.lease
        else:
            result = {"outcome": "complete", "metrics": {"val_loss": 0.5}, "steps_done": STEPS, "engine": "soak"}
            ended = {"lease": hand.lease, "device_seconds": 720.0, **result}
            answer = self.post("/leases/complete", {"completions": [ended]})
            self.done += "lost" not in answer
            hand.lease = None


def rows(database: str) -> dict[str, int]:
    """How many each table has."""
    opened = Database(Settings(database=database))
    with opened.read() as session:
        counts = {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
        }
    opened.close()
    return counts


def resident() -> int:
    """Bytes of memory this process has, after a collection."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def soak(folder: Path, hours: int) -> list[Figure]:
    """A day of `hours`; memory is taken after a quarter of it, when all caches are warm, and at its end."""
    url, clock = f"sqlite:///{folder}/switchback.db", Clock()
    ticks, begun, warm = round(hours * 3600 / TICK_S), time.monotonic(), 0
    app = create_app(Settings(database=url, sweep_s=TICK_S, token_rate=1e6))

    def simulated(database: Database, session: object) -> datetime:
        return clock.now

    with mock.patch.object(Database, "now", simulated), TestClient(app, base_url="http://localhost") as http:
        day = Day(http, clock)
        for number in range(ticks):
            day.tick(number)
            app.state.context.planner._sweep()  # noqa: SLF001 - its own thread sweeps by the real clock
            if number == ticks // 4:
                warm = resident()
        grown = resident() - warm
    return _figures(day, rows(url), grown=grown, hours=hours, seconds=time.monotonic() - begun)


def _figures(day: Day, counts: dict[str, int], *, grown: int, hours: int, seconds: float) -> list[Figure]:
    trials, attempts = counts["trials"], counts["attempts"]
    others = {name: count for name, count in counts.items() if count}
    own = trials + attempts + counts["points"] + day.studies + day.hired
    return [
        Figure("simulated hours", hours, f">= {hours}", f"{seconds:.0f} s; {day.done} trials, {day.hired} workers"),
        Figure("memory grown, MiB", grown / 2**20, "<= 16", "over the last three quarters"),
        Figure("points per attempt", counts["points"] / max(1, attempts), f"<= {STEPS}"),
        Figure("attempts per result", attempts / max(1, day.done), "<= 2"),
        Figure(
            "rows beside the work's own, per trial", (sum(others.values()) - own) / max(1, trials), "<= 2", str(others)
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one hour instead of twenty-four")
    given = parser.parse_args()
    logging.getLogger("service").setLevel(logging.ERROR)  # a lost lease is no news here
    with tempfile.TemporaryDirectory() as scratch:
        return publish("soak", soak(Path(scratch), 1 if given.quick else 24))


if __name__ == "__main__":
    sys.exit(main())
