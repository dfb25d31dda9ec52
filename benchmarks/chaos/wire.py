"""Speaks the lease protocol with the SDK's own client, and writes down what was asked and what was answered."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import httpx2

from benchmarks.chaos.history import Call, File, Kind, Recorder, Verdict
from client.errors import LeaseLost, RequestRefused, ServiceUnavailable
from client.leases import LeaseClient
from contract.artifacts import ArtifactView
from contract.leases import (
    Acknowledged,
    ClaimRequest,
    Completion,
    CompletionBatch,
    Failure,
    HeartbeatRequest,
    LeaseRef,
    Point,
    Release,
    ReportBatch,
    TrialReport,
    WorkerInfo,
)

TIMEOUT_S = 8.0
SECONDS = 1.0
"""What every end of an attempt books, so that one applied twice shows."""
STEPS = 12
TASK = "digits/mlp"


class HeadKeeper(httpx2.HTTPTransport):
    """Remembers the last answer's status and id: the client tells all of 5xx as one exception."""

    status: int | None = None
    request_id: str = ""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.status = None
        response = super().handle_request(request)
        self.status, self.request_id = response.status_code, response.headers.get("x-request-id", "without id")
        return response


@dataclass
class Wire:
    """One worker's connection. Calls return what was recorded; nothing is sent twice unless asked."""

    name: str
    url: str
    recorder: Recorder
    transport: HeadKeeper = field(default_factory=HeadKeeper)

    def __post_init__(self) -> None:
        self.client = LeaseClient(self.url, timeout_s=TIMEOUT_S, transport=self.transport)

    def claim(self, token: str, count: int) -> Call:
        info = WorkerInfo(id=self.name, name=self.name, device="cpu", version="1", tasks=[TASK])

        def ask(call: Call) -> Call:
            found = self.client.claim(ClaimRequest(worker=info, token=token, max_trials=count)).leases
            leases = tuple((lease.trial.id, lease.attempt) for lease in found)
            offered = {lease.trial.id: _file(lease.checkpoint) for lease in found if lease.checkpoint is not None}
            return replace(call, leases=leases, resume=offered)

        return self._note("claim", ask)

    def heartbeat(self, ref: LeaseRef, *, zombie: bool = False) -> Call:
        def ask(call: Call) -> Call:
            states = self.client.heartbeat(HeartbeatRequest(worker_id=self.name, leases=[ref])).leases
            return replace(call, verdict="ok" if states[0].held else "stale")

        return self._note("heartbeat", ask, ref, zombie=zombie)

    def report(self, ref: LeaseRef, values: dict[int, float], *, zombie: bool = False) -> Call:
        def ask(call: Call) -> Call:
            self.client.report(ReportBatch(reports=[_report(ref, values)]))
            return call

        return self._note("report", ask, ref, values=values, zombie=zombie)

    def put(self, ref: LeaseRef, name: str, content: bytes, *, step: int, zombie: bool = False) -> Call:
        file = File(name, ref.attempt, step, sha256(content).hexdigest())

        def ask(call: Call) -> Call:
            return replace(call, file=_file(self.client.put_artifact(ref, name, content, step=step)))

        return self._note("put", ask, ref, file=file, zombie=zombie)

    def fetch(self, ref: LeaseRef, file: File, to: Path) -> Call:
        """The checkpoint that a claim offered; the client holds it against its SHA-256."""

        def ask(call: Call) -> Call:
            wanted = ArtifactView.model_construct(trial_id=ref.trial_id, name=file.name, sha256=file.sha256)
            self.client.get_artifact(ref, wanted, to)
            return call

        return self._note("fetch", ask, ref, file=file)

    def end(self, ref: LeaseRef, outcome: str, values: dict[int, float] | None = None, *, zombie: bool = False) -> Call:
        """Complete or diverged, with these last points; failed or preempted, without them."""
        kind, send = self._ending(ref, outcome, values or {})
        last = values if kind == "complete" else None

        def ask(call: Call) -> Call:
            return replace(call, status=send().status)

        return self._note(kind, ask, ref, values=last, outcome=outcome, zombie=zombie)

    def _ending(self, ref: LeaseRef, outcome: str, last: dict[int, float]) -> tuple[Kind, Callable[[], Acknowledged]]:
        if outcome == "failed":
            failure = Failure(lease=ref, error="ValueError: told to", device_seconds=SECONDS)
            return "fail", lambda: self.client.fail(failure)
        if outcome == "preempted":
            release = Release(lease=ref, reason="told to", device_seconds=SECONDS)
            return "release", lambda: self.client.release(release)
        body = {"lease": ref, "outcome": outcome, "metrics": {"val_loss": 0.5}, "steps_done": STEPS, "engine": "chaos"}
        done = Completion.model_validate({**body, "device_seconds": SECONDS})
        batch = CompletionBatch(completions=[done], reports=[_report(ref, last)] if last else [])
        return "complete", lambda: self.client.complete(batch).trials[0]

    def _note(
        self,
        kind: Kind,
        ask: Callable[[Call], Call],
        ref: LeaseRef | None = None,
        *,
        values: dict[int, float] | None = None,
        outcome: str = "",
        file: File | None = None,
        zombie: bool = False,
    ) -> Call:
        trial, attempt = (ref.trial_id, ref.attempt) if ref else (0, 0)
        begun = Call(
            self.name,
            kind,
            time.monotonic(),
            None,
            "unknown",
            trial,
            attempt,
            values=values or {},
            outcome=outcome,
            file=file,
            zombie=zombie,
        )
        try:
            call = replace(ask(replace(begun, verdict="ok")), answered=time.monotonic())
        except LeaseLost:
            call = replace(begun, verdict="stale", answered=time.monotonic())
        except RequestRefused as error:
            call = replace(begun, verdict="refused", answered=time.monotonic(), said=str(error))
        except ServiceUnavailable as error:
            verdict, said = self._unavailable(), f"request {self.transport.request_id}: {error}"
            if verdict == "unknown":
                call = begun
            else:
                call = replace(begun, verdict=verdict, answered=time.monotonic(), said=said)
        self.recorder.note(call)
        return call

    def _unavailable(self) -> Verdict:
        status = self.transport.status
        if status in {429, 503}:
            return "overloaded"
        return "unknown" if status is None or status < 500 else "fault"  # a refusal may be cut off by a kill, too


def _file(view: ArtifactView) -> File:
    return File(view.name, view.attempt, view.step, view.sha256)


def _report(ref: LeaseRef, values: Mapping[int, float]) -> TrialReport:
    points = [Point(step=step, values={"train_loss": value}) for step, value in values.items()]
    return TrialReport(lease=ref, total_steps=STEPS, steps_per_epoch=STEPS, points=points)


def token() -> str:
    """A lease token as the real worker chooses it."""
    return secrets.token_urlsafe(32)


def answered(ask: Callable[[], Call], pauses: Sequence[float], stopped: Callable[[], bool]) -> Call:
    """Ask until there is an answer, as the real worker does; the last pause is used from then on."""
    tries = 0
    while True:
        call = ask()
        if call.verdict in {"ok", "stale", "refused"} or stopped():
            return call
        time.sleep(pauses[min(tries, len(pauses) - 1)])
        tries += 1
