"""A worker that trains nothing: it claims, reports and ends trials, is late on purpose, and writes as a zombie."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

from benchmarks.chaos.history import Recorder, Verdict
from benchmarks.chaos.wire import STEPS, Wire, answered, token
from contract.leases import LeaseRef

PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
SKEWS_S = (0.0, 3_600.0, -3_600.0)
"""How far a worker's clock may be off."""
ENDINGS = (("complete", 0.8), ("diverged", 0.06), ("failed", 0.06), ("preempted", 0.08))


@dataclass
class Worker:
    """Draws what it does from its own seed; `pace_s` is the mean time between two of its calls."""

    wire: Wire
    folder: Path
    ttl_s: float
    pace_s: float
    draw: random.Random
    stopped: bool = field(default=False)

    def work(self) -> None:
        """Until stopped."""
        while not self.stopped:
            mine, count = token(), self.draw.choice((1, 1, 2, 3))
            call = answered(partial(self.wire.claim, mine, count), PAUSES_S, self._over)
            for trial, attempt in call.leases:
                ref = LeaseRef(trial_id=trial, attempt=attempt, token=mine)
                if trial in call.resume and self.draw.random() < 0.5:
                    self.wire.fetch(ref, call.resume[trial], self.folder / f"{self.wire.name}.checkpoint")
                self.train(ref)
            if not call.leases:
                time.sleep(0.1)

    def train(self, ref: LeaseRef) -> None:
        """One attempt, as one of three kinds: steady, silent for too long, or late by a hair."""
        kind = self.draw.choices(("steady", "silent", "edge"), (0.75, 0.15, 0.1))[0]
        step, last = 0, dict[int, float]()
        while step < STEPS:
            until = min(STEPS, step + self.draw.randint(1, 5))
            values = {number: self.draw.random() for number in range(step + 1, until + 1)}
            step = until
            if step == STEPS and self.draw.random() < 0.5:
                last = values
                break
            verdict = self._said(ref, values)
            if verdict == "stale":
                self.haunt(ref)
            if verdict != "ok":
                return
            if self.draw.random() < 0.25:
                self._put(ref, "checkpoint", step)
            if kind == "silent":
                time.sleep(self.ttl_s * self.draw.uniform(0.5, 1.6))
                kind = "steady"
        if kind == "edge":
            time.sleep(self.ttl_s * self.draw.uniform(0.97, 1.1))
        if self.draw.random() < 0.3:
            self._put(ref, "model", step)
        self._finish(ref, last)

    def haunt(self, ref: LeaseRef) -> None:
        """The lease is gone: whatever is written with it now must be refused."""
        step = self.draw.randint(STEPS + 1, STEPS + 1000)
        self.wire.report(ref, {step: self.draw.random()}, zombie=True)
        self.wire.heartbeat(ref, zombie=True)
        self.wire.put(ref, "checkpoint", self.draw.randbytes(100), step=step, zombie=True)
        self.wire.end(ref, self.draw.choice(("complete", "failed", "preempted")), zombie=True)

    def _put(self, ref: LeaseRef, name: str, step: int) -> None:
        content = self.draw.randbytes(self.draw.randint(1, 20_000))
        answered(partial(self.wire.put, ref, name, content, step=step), PAUSES_S, self._over)

    def _said(self, ref: LeaseRef, values: dict[int, float]) -> Verdict:
        time.sleep(self.draw.expovariate(1 / self.pace_s))
        if self.draw.random() < 0.2 and self.wire.heartbeat(ref).verdict == "stale":
            return "stale"
        return answered(partial(self.wire.report, ref, values), PAUSES_S, self._over).verdict

    def _finish(self, ref: LeaseRef, last: dict[int, float]) -> None:
        outcome = self.draw.choices([name for name, _ in ENDINGS], [weight for _, weight in ENDINGS])[0]
        call = answered(partial(self.wire.end, ref, outcome, last), PAUSES_S, self._over)
        if call.verdict == "ok" and self.draw.random() < 0.2:
            self.wire.end(ref, outcome, last)  # an end sent again is acknowledged again
        if call.verdict != "unknown" and self.draw.random() < 0.3:
            self._write_after(ref, outcome)

    def _write_after(self, ref: LeaseRef, outcome: str) -> None:
        """The attempt is over, by this worker's own word."""
        self.wire.report(ref, {STEPS + 1: self.draw.random()}, zombie=True)
        last = {STEPS + 2: self.draw.random()}
        self.wire.end(ref, "diverged" if outcome == "complete" else "complete", last, zombie=True)

    def _over(self) -> bool:
        return self.stopped


def run(name: str, url: str, folder: str, ttl_s: float, pace_s: float) -> None:
    """The body of a worker's process, whose clock may be wrong; SIGTERM ends it after the call under way."""
    right, skew_s = time.time, random.Random(f"clock of {name}").choice(SKEWS_S)
    time.time = lambda: right() + skew_s
    recorder = Recorder(Path(folder) / f"{name}.jsonl")
    worker = Worker(Wire(name, url, recorder), Path(folder), ttl_s, pace_s, random.Random(name))

    def _stop(number: int, frame: FrameType | None) -> None:
        worker.stopped = True

    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.work()
