"""Studies in the states the tests begin from, built through the service's own functions."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from contract.leases import ClaimRequest, Completion, CompletionBatch, Lease, LeaseRef, TrialReport, WorkerInfo
from contract.studies import CreateStudy
from contract.trials import TrialStatus
from service import queue, studies, sweep
from service.app import create_app
from service.database import Database
from service.models import Trial
from service.queue import Claim
from service.settings import Settings

T0 = datetime(2026, 1, 1, tzinfo=UTC)
TTL_S = 60.0


def definition(**changes: Any) -> CreateStudy:
    """A grid of `cells` constant rates on digits, changed as asked."""
    cells = changes.pop("cells", 4)
    rates = [round(0.01 * (index + 1), 4) for index in range(cells)]
    base: dict[str, Any] = {
        "name": "rates",
        "task": {"dataset": "digits", "model": "mlp"},
        "budget": {"steps": 20},
        "space": {"schedules": ["constant"], "lr": {"choice": rates}},
        "search": {"method": "grid"},
    }
    return CreateStudy.model_validate(base | changes)


def worker(name: str = "worker-a", tasks: tuple[str, ...] = ("digits/mlp",)) -> WorkerInfo:
    return WorkerInfo(id=f"{name}-00000000", name=name, device="cpu", version="1", tasks=list(tasks))


def token() -> str:
    return secrets.token_urlsafe(32)


@dataclass
class Desk:
    """The service's functions on one database with a clock that the test turns."""

    database: Database
    now: datetime = T0
    tokens: dict[int, str] = field(default_factory=dict)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def create(self, **changes: Any) -> int:
        with self.database.write() as session:
            return studies.create(session, definition(**changes), now=self.now)

    def claim(
        self, *, name: str = "worker-a", count: int = 1, claim_token: str | None = None, beside: int | None = None
    ) -> list[Lease]:
        request = ClaimRequest(worker=worker(name), token=claim_token or token(), max_trials=count, beside=beside)
        with self.database.write() as session:
            (leases,) = queue.claim(session, [Claim(request)], now=self.now, ttl_s=TTL_S)
        self.tokens |= {lease.trial.id: request.token for lease in leases}
        return leases

    def ref(self, lease: Lease) -> LeaseRef:
        return LeaseRef(trial_id=lease.trial.id, attempt=lease.attempt, token=self.tokens[lease.trial.id])

    def complete(
        self,
        ref: LeaseRef,
        *,
        loss: float | None = 0.5,
        outcome: str = "complete",
        last: TrialReport | None = None,
    ) -> TrialStatus:
        metrics = {} if loss is None else {"val_loss": loss}
        body: dict[str, Any] = {"outcome": outcome, "steps_done": 20, "device_seconds": 1.0, "engine": "solo"}
        request = Completion.model_validate(body | {"lease": ref.model_dump(), "metrics": metrics})
        batch = CompletionBatch(completions=[request], reports=[] if last is None else [last])
        with self.database.write() as session:
            return queue.complete(session, [batch], now=self.now)[0][0]

    def sweep(self) -> int:
        with self.database.write() as session:
            return sweep.sweep(session, now=self.now)

    def statuses(self) -> list[TrialStatus]:
        with self.database.read() as session:
            return list(session.scalars(select(Trial.status).order_by(Trial.id)))


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


@pytest.fixture
def http(database_url: str, tmp_path: Path) -> Iterator[TestClient]:
    """The real application over each kind of database."""
    app = create_app(Settings(database=database_url, artifacts=str(tmp_path / "artifacts")))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client
