"""Files of trials through the SDK, over a real service."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from processes import Service

from client.errors import LeaseLost, RequestRefused, ServiceUnavailable
from client.leases import LeaseClient
from client.studies import StudyClient
from contract.leases import ClaimRequest, LeaseRef, WorkerInfo
from contract.studies import CreateStudy

TASK = {"dataset": "digits", "model": "transfers"}


@pytest.fixture(scope="module")
def leases(service: Service) -> Iterator[LeaseClient]:
    with LeaseClient(service.url) as client:
        yield client


@pytest.fixture(scope="module")
def held(service: Service, leases: LeaseClient) -> LeaseRef:
    space = {"schedules": ["constant"], "lr": {"choice": [0.1]}}
    study = {"name": "files", "task": TASK, "budget": {"steps": 20}, "space": space, "search": {"method": "grid"}}
    with StudyClient(service.url) as studies:
        studies.create(CreateStudy.model_validate(study))
    info = WorkerInfo(id=secrets.token_hex(8), name="files", device="none", version="1", tasks=["digits/transfers"])
    token = secrets.token_urlsafe(32)
    lease = leases.claim(ClaimRequest(worker=info, token=token)).leases[0]
    return LeaseRef(trial_id=lease.trial.id, attempt=lease.attempt, token=token)


def test_a_file_goes_up_and_comes_down_the_same(
    service: Service, leases: LeaseClient, held: LeaseRef, tmp_path: Path
) -> None:
    (tmp_path / "up").write_bytes(os.urandom(5_000_001))
    stored = leases.put_artifact(held, "model", tmp_path / "up", step=3)
    with StudyClient(service.url) as studies:
        assert studies.artifacts(held.trial_id).items == [stored]
        studies.get_artifact(stored, tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()


def test_a_file_that_was_replaced_meanwhile_is_not_mistaken_for_the_one_wanted(
    leases: LeaseClient, held: LeaseRef, tmp_path: Path
) -> None:
    old = leases.put_artifact(held, "checkpoint", b"old", step=3)
    leases.put_artifact(held, "checkpoint", b"new", step=4)
    with pytest.raises(ServiceUnavailable, match=sha256(b"new").hexdigest()):
        leases.get_artifact(held, old, tmp_path / "down")
    assert list(tmp_path.iterdir()) == []


def test_a_stale_lease_is_told_before_a_large_file_has_been_sent(leases: LeaseClient, held: LeaseRef) -> None:
    stale = held.model_copy(update={"attempt": 2})
    with pytest.raises(LeaseLost):
        leases.put_artifact(stale, "checkpoint", bytes(20_000_000), step=3)


def test_only_the_holder_of_the_lease_is_given_the_checkpoint(
    leases: LeaseClient, held: LeaseRef, tmp_path: Path
) -> None:
    stored = leases.put_artifact(held, "checkpoint", b"mine", step=5)
    leases.get_artifact(held, stored, tmp_path / "down")
    with pytest.raises(LeaseLost):
        leases.get_artifact(held.model_copy(update={"attempt": 2}), stored, tmp_path / "other")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_an_empty_file_is_refused(leases: LeaseClient, held: LeaseRef) -> None:
    with pytest.raises(RequestRefused, match="1 to"):
        leases.put_artifact(held, "checkpoint", b"", step=3)
