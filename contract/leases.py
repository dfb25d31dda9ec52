"""The trial protocol: claim, heartbeat, report, complete, fail, release.

A lease is (trial, attempt, token). The worker chooses the token, 256 random bits, when it claims: the same claim sent
again (an answer was lost) returns the same leases. Every write carries the lease; a stale one is 409 `lease-lost`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from contract.artifacts import ArtifactView
from contract.base import Message, Name, Text, View
from contract.trials import TrialSpec

Token: TypeAlias = Annotated[str, Field(min_length=43, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")]
WorkerId: TypeAlias = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Metrics: TypeAlias = Annotated[dict[Name, float], Field(max_length=64)]
Directive: TypeAlias = Literal["continue", "stop", "pause"]
"""What the worker is to do with a trial it holds: `stop` when its study has ended, `pause` when it was paused. Both
times it releases the trial; before a pause it stores a checkpoint, from which the trial goes on later."""

MAX_POINTS_PER_REPORT = 1_000
MAX_COMPLETIONS = 256


class WorkerInfo(Message):
    """Who claims: `id` is unique to the process, `tasks` are the `dataset/model` keys it can train."""

    id: WorkerId
    name: Annotated[Text, Field(min_length=1, max_length=120)]
    device: Annotated[Text, Field(min_length=1, max_length=120)]
    version: Annotated[Text, Field(min_length=1, max_length=40)]
    tasks: Annotated[list[Annotated[Text, Field(min_length=3, max_length=130)]], Field(min_length=1, max_length=1_000)]


class ClaimRequest(Message):
    """Ask for up to `max_trials` trials that can be trained together; `token` becomes the token of their leases.

    `beside` is a trial that the worker is training: it gets what can be trained together with that one, if this is what
    it would get next, and leaves to each idle worker as many. Where there is none, the answer may take `wait_s`
    seconds, and comes as soon as there is one.
    """

    worker: WorkerInfo
    token: Token
    max_trials: Annotated[int, Field(ge=1, le=1_024)] = 1
    beside: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    wait_s: Annotated[float, Field(ge=0, le=30)] = 0.0


class LeaseRef(Message):
    """Proof of ownership of one attempt of one trial."""

    trial_id: Annotated[int, Field(ge=1, lt=2**63)]
    attempt: Annotated[int, Field(ge=1, lt=2**31)]
    token: Token


class Lease(View):
    """A claimed trial. It stays held for `ttl_s` seconds from the answer, and from each heartbeat on.

    `checkpoint` is the last one that any attempt committed: what to resume from, and how far that attempt had come.
    """

    trial: TrialSpec
    attempt: int
    ttl_s: float
    checkpoint: ArtifactView | None = None


class ClaimReply(View):
    """The leases, oldest trial first; when empty, ask again after `retry_after_s` seconds."""

    leases: list[Lease]
    retry_after_s: float


class HeartbeatRequest(Message):
    """Renew leases."""

    worker_id: WorkerId
    leases: Annotated[list[LeaseRef], Field(max_length=1_024)]


class LeaseState(View):
    """Whether the lease is still held, for how long from now, and what to do with the trial."""

    trial_id: int
    attempt: int
    held: bool
    ttl_s: float
    directive: Directive


class HeartbeatReply(View):
    """One state per lease asked about, in the order asked."""

    leases: list[LeaseState]


class Point(Message):
    """Values measured after `step` updates; a value that is not finite is left out."""

    step: Annotated[int, Field(ge=0, le=100_000_000)]
    values: Metrics


class TrialReport(Message):
    """Points of one trial; sending a point again (same trial, attempt, step) changes nothing.

    `resumed_from` is the step of the lease's checkpoint if the attempt resumed from it, and None if it began anew:
    then what earlier attempts reported is no part of the trial's curve. Report before sending an own checkpoint.
    """

    lease: LeaseRef
    total_steps: Annotated[int, Field(ge=1, le=10**12)]
    steps_per_epoch: Annotated[int, Field(ge=1, le=10**12)]
    points: Annotated[list[Point], Field(max_length=MAX_POINTS_PER_REPORT)]
    resumed_from: Annotated[int, Field(ge=0, le=10**12)] | None = None


class ReportBatch(Message):
    """Reports of several trials, stored together or not at all; at most 1,000 points in all."""

    reports: Annotated[list[TrialReport], Field(min_length=1, max_length=1_000)]

    def model_post_init(self, context: object) -> None:
        _check_count(self.reports)


def _check_count(reports: Sequence[TrialReport]) -> None:
    points = sum(len(report.points) for report in reports)
    if points > MAX_POINTS_PER_REPORT:
        raise ValueError(f"reports: at most {MAX_POINTS_PER_REPORT} points in a batch, got {points}")


class ReportReply(View):
    """What to do with each trial reported on, in the order reported."""

    leases: list[LeaseState]


class Completion(Message):
    """The trial has run its course, or diverged, which is a result too."""

    lease: LeaseRef
    outcome: Literal["complete", "diverged", "pruned"]
    metrics: Metrics
    steps_done: Annotated[int, Field(ge=0, le=10**12)]
    device_seconds: Annotated[float, Field(ge=0)]
    engine: Name
    reason: Annotated[Text, Field(max_length=2_000)] | None = None


class CompletionBatch(Message):
    """Trials that have ended, stored together or not at all: those trained together end together.

    `reports` are the last points of these trials, at most 1,000 in all; they need no request of their own.
    """

    completions: Annotated[list[Completion], Field(min_length=1, max_length=MAX_COMPLETIONS)]
    reports: Annotated[list[TrialReport], Field(default_factory=list, max_length=MAX_COMPLETIONS)]

    def model_post_init(self, context: object) -> None:
        _check_count(self.reports)
        ending = {one.lease for one in self.completions}
        others = sorted({report.lease.trial_id for report in self.reports if report.lease not in ending})
        if others:
            raise ValueError(f"reports: must be of trials that end here, got trials {others}")


class Failure(Message):
    """The trial could not be trained: the user's code or configuration raised."""

    lease: LeaseRef
    error: Annotated[Text, Field(min_length=1, max_length=8_000)]
    device_seconds: Annotated[float, Field(ge=0)] = 0.0


class Release(Message):
    """The worker gives the trial back unfinished (it drains, or its machine is taken): it is queued again."""

    lease: LeaseRef
    reason: Annotated[Text, Field(min_length=1, max_length=2_000)]
    device_seconds: Annotated[float, Field(ge=0)] = 0.0


class Acknowledged(View):
    """A write was committed; `status` is the trial's status after it."""

    trial_id: int
    status: str


class CompletionReply(View):
    """What became of each trial, in the order of the batch."""

    trials: list[Acknowledged]
