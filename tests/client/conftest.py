"""A real service, and a worker that knows the loss of every rate without training."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from processes import Service

from client.leases import LeaseClient
from client.studies import StudyClient
from contract.leases import (
    ClaimRequest,
    Completion,
    CompletionBatch,
    Failure,
    Lease,
    LeaseRef,
    Point,
    ReportBatch,
    TrialReport,
    WorkerInfo,
)

STEPS = 100
BEST_LR = 0.1


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with Service(f"sqlite:///{folder}/switchback.db", folder) as running:
        yield running


@pytest.fixture(scope="session")
def train(service: Service) -> Iterator[Callable[[int], None]]:
    """Finishes trials, as a worker would, until the study of that number has ended."""
    info = _worker()
    with LeaseClient(service.url) as leases, StudyClient(service.url) as studies:

        def finish(study_id: int) -> None:
            for _ in studies.follow(study_id, poll_s=0.05, timeout_s=20):
                token = secrets.token_urlsafe(32)
                while got := leases.claim(ClaimRequest(worker=info, token=token, max_trials=1)).leases:
                    _finish(leases, got[0], token)
                    token = secrets.token_urlsafe(32)

        yield finish


@pytest.fixture
def fail(service: Service) -> Iterator[Callable[[int], None]]:
    """Fails trials, as a worker whose code is broken would, until the study of that number has ended."""
    with LeaseClient(service.url) as leases, StudyClient(service.url) as studies:

        def spoil(study_id: int) -> None:
            for _ in studies.follow(study_id, poll_s=0.05, timeout_s=20):
                token = secrets.token_urlsafe(32)
                for lease in leases.claim(ClaimRequest(worker=_worker(), token=token)).leases:
                    ref = LeaseRef(trial_id=lease.trial.id, attempt=lease.attempt, token=token)
                    leases.fail(Failure(lease=ref, error="ValueError: the data is not there"))

        yield spoil


def _worker() -> WorkerInfo:
    return WorkerInfo(id=secrets.token_hex(8), name="oracle", device="none", version="1", tasks=["digits/mlp"])


def _finish(leases: LeaseClient, lease: Lease, token: str) -> None:
    """The loss is a valley around BEST_LR in log(lr): falling before it, exploding beyond."""
    ref = LeaseRef(trial_id=lease.trial.id, attempt=lease.attempt, token=token)
    rates = np.asarray(lease.trial.schedule.bind(STEPS, STEPS // 5).lr(np.arange(STEPS)))
    points = [Point(step=step + 1, values={"train_loss": loss(float(rate))}) for step, rate in enumerate(rates)]
    leases.report(
        ReportBatch(reports=[TrialReport(lease=ref, total_steps=STEPS, steps_per_epoch=STEPS // 5, points=points)])
    )
    final = loss(float(rates.max()))
    metrics = {"val_loss": final, "train_loss": final, "test_accuracy": 1 - final / 10}
    done = Completion(
        lease=ref, outcome="complete", metrics=metrics, steps_done=STEPS, device_seconds=0.5, engine="oracle"
    )
    leases.complete(CompletionBatch(completions=[done]))


def loss(rate: float) -> float:
    """2.3 at small rates, 0.5 at BEST_LR, up to 50 beyond."""
    away = math.log10(max(rate, 1e-12) / BEST_LR)
    return min(50.0, 0.5 + 1.8 * (1 - math.exp(-((away / 1.5) ** 2))) + (8 * away**2 if away > 0 else 0.0))
