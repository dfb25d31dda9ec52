"""The worker's side of the trial protocol: claim, heartbeat, report, complete, fail, release."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from client import artifacts
from client.http import API, Transport
from contract.artifacts import ArtifactView
from contract.leases import (
    Acknowledged,
    ClaimReply,
    ClaimRequest,
    CompletionBatch,
    CompletionReply,
    Failure,
    HeartbeatReply,
    HeartbeatRequest,
    LeaseRef,
    Release,
    ReportBatch,
    ReportReply,
)


class LeaseClient:
    """Every call may raise ServiceUnavailable, and may then be sent again: the protocol is idempotent.

    All but `claim` and `heartbeat` raise LeaseLost when the trial belongs to somebody else by now.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, transport: httpx2.BaseTransport | None = None) -> None:
        self._http = Transport(url, timeout_s=timeout_s, transport=transport)

    @property
    def url(self) -> str:
        """The address of the service."""
        return self._http.url

    def claim(self, request: ClaimRequest) -> ClaimReply:
        """Lease trials to train; sent again with the same token, the same leases come back."""
        return self._http.post(f"{API}/leases/claim", ClaimReply, request)

    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        """Renew leases; a lost one is told by `held`, not raised, so that the others are renewed."""
        return self._http.post(f"{API}/leases/heartbeat", HeartbeatReply, request)

    def report(self, batch: ReportBatch) -> ReportReply:
        """Store points. With one stale lease in it the whole batch is refused."""
        return self._http.post(f"{API}/leases/report", ReportReply, batch)

    def complete(self, batch: CompletionBatch) -> CompletionReply:
        """End trials with their results. With one stale lease in it the whole batch is refused."""
        return self._http.post(f"{API}/leases/complete", CompletionReply, batch)

    def fail(self, failure: Failure) -> Acknowledged:
        """The trial could not be trained."""
        return self._http.post(f"{API}/leases/fail", Acknowledged, failure)

    def release(self, release: Release) -> Acknowledged:
        """Give a trial back unfinished."""
        return self._http.post(f"{API}/leases/release", Acknowledged, release)

    def put_artifact(self, lease: LeaseRef, name: str, source: Path | bytes, *, step: int) -> ArtifactView:
        """Store a file as of `step` updates; it replaces what the trial had under this name."""
        return artifacts.put(self._http, lease, name, source, step=step)

    def get_artifact(self, lease: LeaseRef, wanted: ArtifactView, to: Path) -> None:
        """Fetch a file of a trial one holds, checked against its SHA-256; `to` appears whole or not at all."""
        artifacts.get(self._http, wanted, to, lease=lease)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
