"""What every worker asked, what it was answered and when: one JSON line a call, written before the next is made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["create", "claim", "heartbeat", "report", "complete", "fail", "release", "put", "fetch"]
Verdict: TypeAlias = Literal["ok", "stale", "refused", "overloaded", "fault", "unknown"]
"""`ok` 2xx, `stale` 409 lease-lost or not held, `refused` any other 4xx, `overloaded` 429 or 503, `fault` any other
5xx, `unknown` no answer: it may have taken effect or not."""

STANDS: dict[str, frozenset[str]] = {
    "complete": frozenset({"complete"}),
    "diverged": frozenset({"diverged"}),
    "failed": frozenset({"failed", "cancelled"}),
    "preempted": frozenset({"preempted", "cancelled"}),
}
"""The outcome a worker asks for, and those an attempt may have when its wish was granted."""


@dataclass(frozen=True, slots=True)
class File:
    """An artifact: its name, the attempt that sent it, the step it is of, its SHA-256."""

    name: str
    attempt: int
    step: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Call:
    """One request about one lease, timed by the machine's monotonic clock.

    A claim's answer lists `leases` and the checkpoints they `resume` from, a creation's names its `study`.

    `values` are what a report or an end carried, step -> loss; `outcome` is what an end asked for.
    """

    worker: str
    kind: Kind
    invoked: float
    answered: float | None
    verdict: Verdict
    trial: int = 0
    attempt: int = 0
    values: dict[int, float] = field(default_factory=dict)
    outcome: str = ""
    file: File | None = None
    leases: tuple[tuple[int, int], ...] = ()
    resume: dict[int, File] = field(default_factory=dict)
    study: int = 0
    status: str = ""
    """Of the trial, as an `ok` end was answered."""
    said: str = ""
    """Why it was refused, or what the server error was, with its request id: the service's log has more under it."""
    zombie: bool = False
    """The sender knew, or had to assume, that the lease was not its own any more."""

    @property
    def lease(self) -> tuple[int, int]:
        """Trial and attempt."""
        return self.trial, self.attempt

    def repeats(self, other: Call) -> bool:
        """Whether this is the same request sent again."""
        mine = (self.worker, self.kind, self.lease, self.outcome, self.values, self.file)
        same = mine == (other.worker, other.kind, other.lease, other.outcome, other.values, other.file)
        return same and other.invoked < self.invoked

    def stands(self, outcome: str) -> bool:
        """Whether an attempt that ended so ended as this call asked."""
        return outcome in STANDS.get(self.outcome, ())


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which the service may say that it is overloaded: its database was taken away, or it shuts down."""

    start: float
    end: float


class Recorder:
    """Appends to a file without a buffer: a killed worker takes nothing with it but the call under way."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, *calls: Call) -> None:
        """Write calls down."""
        with self._path.open("ab", buffering=0) as file:
            for call in calls:
                file.write(json.dumps(asdict(call)).encode() + b"\n")


class Watch:
    """Counts what is written down while it storms."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: Counter[Path] = Counter()

    def accepted(self) -> int:
        """Calls that were answered well since this was last asked."""
        found = 0
        for path in self._folder.glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._seen[path])
                written = file.read()
            self._seen[path] += len(written)
            found += written.count(b'"verdict": "ok"')
        return found


def read(folder: Path) -> list[Call]:
    """The calls of all workers, by time of invocation."""
    return sorted(_calls(sorted(folder.glob("*.jsonl"))), key=lambda call: call.invoked)


def _calls(paths: Sequence[Path]) -> Iterator[Call]:
    for path in paths:
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):  # the last line of a killed worker may be half a line
                found = json.loads(line)
                found["values"] = {int(step): value for step, value in found["values"].items()}
                found["leases"] = tuple(map(tuple, found["leases"]))
                found["file"] = found["file"] and File(**found["file"])
                found["resume"] = {int(trial): File(**file) for trial, file in found["resume"].items()}
                yield Call(**found)
