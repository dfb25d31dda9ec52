"""What a worker has to tell the service, and what of it may travel together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from contract.leases import (
    MAX_COMPLETIONS,
    MAX_POINTS_PER_REPORT,
    Completion,
    Failure,
    LeaseRef,
    Point,
    Release,
    TrialReport,
)
from worker.engine import Snapshot

Ending: TypeAlias = Completion | Failure | Release
"""The last message of a trial; all that was reported before arrives before it."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What the trial has reached; it is sent after the points up to there, unless a newer one or the end overtakes."""

    lease: LeaseRef
    snapshot: Snapshot


Message: TypeAlias = TrialReport | Checkpoint | Ending | Callable[[], None]


def gathered(waiting: deque[Message]) -> list[Message]:
    """Take the head and all like it out of what waits: each overtakes what is of other leases only.

    Lanes that end together tell points, end, points, end.
    """
    first = waiting.popleft()
    room = MAX_POINTS_PER_REPORT - _size(first)
    batch, passed, behind = [first], list[Message](), set[LeaseRef]()
    while not callable(first) and waiting and (room := room - _size(waiting[0])) >= 0:
        message = waiting.popleft()
        if callable(message):
            passed.append(message)
        elif _alike(first, message) and message.lease not in behind:
            batch.append(message)
        else:
            passed.append(message)
            behind.add(message.lease)
    waiting.extendleft(reversed(passed))
    return batch


def _size(message: Message) -> int:
    """Its share of a request's room, in points."""
    if isinstance(message, TrialReport):
        return max(1, len(message.points))
    return MAX_POINTS_PER_REPORT // MAX_COMPLETIONS + 1


def _alike(one: Message, other: Message) -> bool:
    """Whether two messages may be on their way together: results with the points before them, others side by side."""
    kinds = (TrialReport | Completion, Failure | Release)
    return any(isinstance(one, kind) and isinstance(other, kind) for kind in kinds)


def merged(reports: Iterable[TrialReport]) -> list[TrialReport]:
    """One report for each lease, with its points in the order given."""
    points: dict[LeaseRef, list[Point]] = {}
    last: dict[LeaseRef, TrialReport] = {}
    for report in reports:
        points.setdefault(report.lease, []).extend(report.points)
        last[report.lease] = report
    return [report.model_copy(update={"points": points[lease]}) for lease, report in last.items()]
