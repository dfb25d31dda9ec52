"""Judges a history against the state it left: pure, so that it can be fed histories that never happened.

Each rule is a function (history, state, limits) -> violations, and each promise of the service has one that breaks
when it is broken. Calls without an answer are *unknown*: they may have taken effect or not, and prove nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.chaos.history import Call, File, Window
from benchmarks.chaos.state import State

CHECKPOINT = "checkpoint"
"""The artifact of this name is dropped when its trial ends."""
LIVE = frozenset({"queued", "leased"})
RESULTS = frozenset({"complete", "pruned", "diverged"})
SLACK_S = 0.05
"""Between two clocks of one machine."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service was set to, in seconds, and when it may say that it is overloaded."""

    ttl_s: float
    lock_s: float = 30.0
    overload: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule, and when: on the monotonic clock, None where only the final state shows it."""

    rule: str
    text: str
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A history with its state."""

    calls: Sequence[Call]
    state: State
    limits: Limits

    def writes(self) -> Iterator[Call]:
        """What was accepted of what needs a current lease."""
        return (call for call in self.calls if call.verdict == "ok" and call.lease != (0, 0))

    def ends(self) -> Iterator[Call]:
        """Accepted ends of attempts."""
        return (call for call in self.writes() if call.outcome)

    def claims(self) -> Iterator[tuple[Call, tuple[int, int]]]:
        """Answered claims, one for each lease."""
        return ((call, lease) for call in self.calls if call.kind == "claim" for lease in call.leases)


def lost(evidence: Evidence) -> Iterator[Violation]:
    """Whatever was acknowledged of a trial is in the database: claims, points, ends."""
    state = evidence.state
    for call, lease in evidence.claims():
        row = state.attempts.get(lease)
        if row is None or row.worker != call.worker:
            yield Violation("lost", f"claim of {lease} by {call.worker}: the attempt is {row}", call.answered)
    for call in evidence.writes():
        for step, value in call.values.items():
            found = state.points.get((*call.lease, step))
            if found != value:
                yield Violation("lost", f"point {call.lease} step {step}: {value}, got {found}", call.answered)
        if call.outcome:
            row = state.attempts.get(call.lease)
            if row is None or not call.stands(row.outcome):
                yield Violation("lost", f"{call.kind} of {call.lease}: the attempt is {row}", call.answered)


def lost_studies(evidence: Evidence) -> Iterator[Violation]:
    """A study that was answered for is there."""
    for call in evidence.calls:
        if call.kind == "create" and call.verdict == "ok" and call.study not in evidence.state.studies:
            yield Violation("lost", f"study {call.study} was created, and is not there", call.answered)


def files(evidence: Evidence) -> Iterator[Violation]:
    """An acknowledged artifact is kept until a later one supersedes it, and later claims resume from it."""
    sent: dict[int, list[tuple[float, File]]] = defaultdict(list)
    for call in evidence.writes():
        if call.kind == "put" and call.file is not None and call.answered is not None:
            sent[call.trial].append((call.answered, call.file))
            if call.file.name != CHECKPOINT:
                found = evidence.state.files.get((call.trial, call.file.name))
                if _older(found, call.file):
                    yield Violation("file", f"{call.file} of trial {call.trial}: kept is {found}", call.answered)
    for call, (trial, _) in evidence.claims():
        for at, file in sent[trial]:
            found = call.resume.get(trial)
            if file.name == CHECKPOINT and at < call.invoked and _older(found, file):
                yield Violation("file", f"{file} of trial {trial}: a claim resumes from {found}", call.answered)


def fence(evidence: Evidence) -> Iterator[Violation]:
    """Once a later attempt has been handed out, no write of an earlier one that begins after it is accepted."""
    handed: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for call, (trial, attempt) in evidence.claims():
        handed[trial].append((attempt, call.answered or call.invoked))
    for call in evidence.writes():
        later = [(attempt, at) for attempt, at in handed[call.trial] if attempt > call.attempt and at < call.invoked]
        if later and not _may_repeat(evidence, call):
            attempt, at = min(later, key=lambda item: item[1])
            text = f"{call.kind} of {call.lease} accepted {call.invoked - at:.3f} s after attempt {attempt} was claimed"
            yield Violation("fence", text, call.answered)


def terminal(evidence: Evidence) -> Iterator[Violation]:
    """Nothing is accepted for a trial that has ended, and its state stays what was acknowledged."""
    over: dict[int, Call] = {}
    for call in evidence.ends():
        if call.status not in LIVE:
            over.setdefault(call.trial, call)
            row = evidence.state.trials.get(call.trial)
            if row is None or row.status != call.status:
                yield Violation("terminal", f"trial {call.trial} was {call.status}, and is {row}", call.answered)
    for call in evidence.writes():
        if _after(over.get(call.trial), call) and not _may_repeat(evidence, call):
            yield Violation("terminal", f"{call.kind} of {call.lease} accepted after its end", call.answered)
    for call, (trial, attempt) in evidence.claims():
        if _after(over.get(trial), call):
            yield Violation("terminal", f"attempt {attempt} of {trial} handed out after its end", call.answered)


def doubled(evidence: Evidence) -> Iterator[Violation]:
    """A trial has one result, and what the end of an attempt adds is added once."""
    results: dict[int, list[int]] = defaultdict(list)
    ends: dict[int, int] = defaultdict(int)
    for (trial, attempt), row in evidence.state.attempts.items():
        results[trial] += [attempt] if row.outcome in RESULTS else []
        ends[trial] += row.outcome not in {"lost", "active"}
    for trial, attempts in results.items():
        if len(attempts) > 1:
            yield Violation("doubled", f"trial {trial} has results of attempts {attempts}")
    for trial, trial_row in evidence.state.trials.items():
        if trial_row.seconds != ends[trial]:
            told = f"trial {trial}: {ends[trial]} ends of one second each"
            yield Violation("doubled", f"{told}, {trial_row.seconds} s are booked")


def answered_twice(evidence: Evidence) -> Iterator[Violation]:
    """No two workers are handed the same attempt, no two results of a trial are acknowledged."""
    owners: dict[tuple[int, int], str] = {}
    for call, lease in evidence.claims():
        if owners.setdefault(lease, call.worker) != call.worker:
            text = f"attempt {lease} was handed to {owners[lease]} and to {call.worker}"
            yield Violation("doubled", text, call.answered)
    final: dict[int, Call] = {}
    for call in evidence.ends():
        if call.outcome in RESULTS:
            first = final.setdefault(call.trial, call)
            if (first.lease, first.outcome) != (call.lease, call.outcome):
                text = f"trial {call.trial}: two results acknowledged, {first.lease} and {call.lease}"
                yield Violation("doubled", text, call.answered)


def idempotent(evidence: Evidence) -> Iterator[Violation]:
    """An end that stands is acknowledged however often it is sent: its first answer may have been lost."""
    for call in evidence.calls:
        if call.verdict == "stale" and _may_repeat(evidence, call):
            yield Violation("idempotent", f"{call.kind} of {call.lease} stands, and was refused", call.answered)


def held(evidence: Evidence) -> Iterator[Violation]:
    """A lease renewed less than its lifetime ago is not refused."""
    renewals: dict[tuple[int, int], list[Call]] = defaultdict(list)
    ended: dict[tuple[int, int], float] = {}
    for call in evidence.calls:
        if call.outcome:
            ended.setdefault(call.lease, call.invoked)
        elif call.verdict == "ok" and call.kind != "fetch":
            for lease in call.leases if call.kind == "claim" else (call.lease,):
                renewals[lease].append(call)
    for call in evidence.calls:
        if call.verdict != "stale" or call.answered is None or ended.get(call.lease, call.answered) < call.invoked:
            continue
        until = max((one.invoked for one in renewals[call.lease] if _before(one, call)), default=0.0)
        left = until + evidence.limits.ttl_s - SLACK_S - call.answered
        if left > 0:
            yield Violation(
                "held", f"{call.kind} of {call.lease} refused {left:.3f} s before its expiry", call.answered
            )


def failing(evidence: Evidence) -> Iterator[Violation]:
    """No fault is answered; overload only while the database is away, or after the wait for its lock."""
    limits = evidence.limits
    for call in evidence.calls:
        if call.answered is None:
            continue
        if call.verdict == "fault":
            text = f"{call.kind} of {call.lease} answered with a server error: {call.said}"
            yield Violation("fault", text, call.answered)
        if call.verdict == "refused":
            yield Violation("fault", f"{call.kind} of {call.lease} refused as invalid: {call.said}", call.answered)
        took = call.answered - call.invoked
        away = any(one.start <= call.answered and call.invoked <= one.end for one in limits.overload)
        if call.verdict == "overloaded" and took < limits.lock_s and not away:
            text = f"{call.kind} of {call.lease} turned away after {took:.3f} s: {call.said}"
            yield Violation("overload", text, call.answered)


def stuck(evidence: Evidence) -> Iterator[Violation]:
    """In the end every trial has ended, and every study."""
    for trial, row in evidence.state.trials.items():
        if row.status in LIVE:
            yield Violation("stuck", f"trial {trial} is {row.status}")
    for study, status in evidence.state.studies.items():
        if status == "running":
            yield Violation("stuck", f"study {study} is running")


def numbered(evidence: Evidence) -> Iterator[Violation]:
    """Attempts are numbered from 1 on without a gap, and as many as the trial says."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for trial, attempt in sorted(evidence.state.attempts):
        numbers[trial].append(attempt)
    for trial, row in evidence.state.trials.items():
        if [0, *numbers[trial]][-1] != row.attempt or any(b - a != 1 for a, b in pairwise([0, *numbers[trial]])):
            yield Violation("numbered", f"trial {trial}: attempts {numbers[trial]}, it says {row.attempt}")


def damaged(evidence: Evidence) -> Iterator[Violation]:
    """The database's own check of itself finds nothing."""
    yield from (Violation("damaged", found) for found in evidence.state.damage)


RULES: tuple[Callable[[Evidence], Iterator[Violation]], ...] = (
    lost_studies,
    lost,
    files,
    fence,
    terminal,
    doubled,
    answered_twice,
    idempotent,
    held,
    failing,
    stuck,
    numbered,
    damaged,
)


def check(calls: Sequence[Call], state: State, limits: Limits) -> list[Violation]:
    """Everything that is wrong."""
    evidence = Evidence(calls, state, limits)
    return [violation for rule in RULES for violation in rule(evidence)]


def _older(found: File | None, file: File) -> bool:
    """Whether what is there is not that file, nor one that may have superseded it."""
    if found is None or (found.attempt, found.step) == (file.attempt, file.step):
        return found != file
    return (found.attempt, found.step) < (file.attempt, file.step)


def _after(end: Call | None, call: Call) -> bool:
    return end is not None and end.answered is not None and end.answered < call.invoked


def _before(renewal: Call, call: Call) -> bool:
    return renewal.answered is not None and renewal.answered <= call.invoked


def _may_repeat(evidence: Evidence, call: Call) -> bool:
    """A repeated end is acknowledged again, whoever holds the trial by now, if it is the one that stands."""
    row = evidence.state.attempts.get(call.lease)
    stands = row is not None and call.stands(row.outcome)
    return stands and any(call.repeats(other) and other.verdict != "stale" for other in evidence.calls)
