"""Files of trials over HTTP: streamed, hashed, fenced, limited, and collected."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from desk import definition, worker
from fastapi.testclient import TestClient
from sqlalchemy import select

from contract.artifacts import digest_header
from contract.leases import LeaseRef, Release
from service import artifacts, queue
from service.api.context import Context
from service.app import create_app
from service.guard import MAX_BODY
from service.models import Artifact
from service.settings import Settings

DATA = b"weights" * 100


def claim(http: TestClient) -> dict[str, Any]:
    body = {"worker": worker().model_dump(), "token": secrets.token_urlsafe(32), "max_trials": 1}
    lease = http.post("/api/v1/leases/claim", json=body).json()["leases"][0]
    return {"trial_id": lease["trial"]["id"], "attempt": lease["attempt"], "token": body["token"], "lease": lease}


def own(held: dict[str, Any]) -> dict[str, Any]:
    return {key: held[key] for key in ("trial_id", "attempt", "token")}


@pytest.fixture
def held(http: TestClient) -> dict[str, Any]:
    return begun(http)


def begun(http: TestClient) -> dict[str, Any]:
    http.post("/api/v1/studies", json=definition(cells=1).model_dump(mode="json"))
    return claim(http)


def put(
    http: TestClient,
    held: dict[str, Any],
    data: bytes = DATA,
    name: str = "checkpoint",
    *,
    step: int = 10,
    **headers: str,
) -> httpx2.Response:
    path = f"/api/v1/trials/{held['trial_id']}/artifacts/{name}"
    given = {"Switchback-Lease": held["token"], "Repr-Digest": digest_header(sha256(data).hexdigest())} | headers
    return http.put(path, params={"attempt": held["attempt"], "step": step}, content=data, headers=given)


def context(http: TestClient) -> Context:
    found = http.app.state.context  # type: ignore[attr-defined]  # the test client knows an ASGI app only
    assert isinstance(found, Context)
    return found


def files(http: TestClient) -> list[Path]:
    return [path for path in Path(context(http).settings.artifact_address).rglob("*") if path.is_file()]


def test_a_file_comes_back_as_it_was_sent_and_never_as_a_page(http: TestClient, held: dict[str, Any]) -> None:
    data = os.urandom(3 * MAX_BODY + 17)
    assert put(http, held, data, "model.safetensors").json()["size"] == len(data)
    got = http.get(f"/api/v1/trials/{held['trial_id']}/artifacts/model.safetensors")
    assert got.content == data
    assert (got.headers["x-content-type-options"], got.headers["content-disposition"].split(";")[0]) == (
        "nosniff",
        "attachment",
    )


def test_a_reader_that_has_the_file_is_not_sent_it_again(http: TestClient, held: dict[str, Any]) -> None:
    tag = f'"{put(http, held).json()["sha256"]}"'
    answer = http.get(
        f"/api/v1/trials/{held['trial_id']}/artifacts/checkpoint", headers={"If-None-Match": f'"x", {tag}'}
    )
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)


def test_a_newer_checkpoint_supersedes_the_older_and_its_file(http: TestClient, held: dict[str, Any]) -> None:
    put(http, held, b"old", step=10)
    put(http, held, b"new", step=20)
    listed = http.get(f"/api/v1/trials/{held['trial_id']}/artifacts").json()["items"]
    assert [(item["name"], item["step"]) for item in listed] == [("checkpoint", 20)]
    assert [path.read_bytes() for path in files(http)] == [b"new"]


def test_a_checkpoint_that_arrives_late_does_not_replace_a_later_one(http: TestClient, held: dict[str, Any]) -> None:
    put(http, held, b"new", step=20)
    assert put(http, held, b"old", step=10).json()["step"] == 20
    assert [path.read_bytes() for path in files(http)] == [b"new"]


def test_a_stale_lease_stores_no_row_and_no_file(http: TestClient, held: dict[str, Any]) -> None:
    for stale in ({"token": secrets.token_urlsafe(32)}, {"attempt": 2}, {"trial_id": 99}):
        answer = put(http, held | stale)
        assert (answer.status_code, answer.json()["code"]) == (409, "lease-lost")
    assert files(http) == []


def test_a_lease_lost_while_the_file_streams_stores_nothing(http: TestClient, held: dict[str, Any]) -> None:
    def body() -> Iterator[bytes]:
        yield b"half "
        with context(http).database.write() as session:
            given_back = Release(lease=LeaseRef.model_validate(own(held)), reason="taken away")
            queue.release(session, given_back, now=datetime.now(UTC))
        yield b"and half"

    data = b"half and half"
    headers = {"Switchback-Lease": held["token"], "Repr-Digest": digest_header(sha256(data).hexdigest())}
    path = f"/api/v1/trials/{held['trial_id']}/artifacts/checkpoint?attempt=1&step=5"
    answer = http.put(path, content=body(), headers=headers | {"Content-Length": str(len(data))})
    assert (answer.status_code, answer.json()["code"]) == (409, "lease-lost")
    assert files(http) == []


WRONG: list[tuple[str, str, int]] = [
    ("Repr-Digest", digest_header("00" * 32), 422),
    ("Repr-Digest", "sha-256=:short:", 422),
    ("Repr-Digest", "md5=:AAAA:", 422),
    ("Content-Length", "1000000000000", 413),
    ("Content-Length", "0", 413),
    ("Content-Length", str(len(DATA) + 1), 422),
    ("Content-Length", str(len(DATA) - 1), 422),
    ("Content-Length", "many", 411),
    ("Switchback-Lease", "short", 422),
]


def test_a_file_that_is_not_what_it_is_said_to_be_is_refused_and_gone(http: TestClient, held: dict[str, Any]) -> None:
    for header, value, status in WRONG:
        answer = put(http, held, **{header: value})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert files(http) == []


def test_a_name_that_is_no_plain_name_is_refused(http: TestClient, held: dict[str, Any]) -> None:
    names = ["..", ".hidden", "a%2Fb", "..%2f..%2fetc%2fpasswd", "A", "a b", "x" * 65, "a%00", "a%0a"]
    assert {put(http, held, name=name).status_code for name in names} <= {404, 405, 422}
    assert files(http) == []


def test_a_study_keeps_no_more_than_its_quota(http: TestClient, held: dict[str, Any]) -> None:
    object.__setattr__(context(http).settings, "artifact_quota", 2 * len(DATA))
    assert [put(http, held, name=name).status_code for name in ("a", "b", "c", "a")] == [200, 200, 403, 200]


def test_the_checkpoint_of_a_trial_that_has_ended_is_collected_and_its_model_stays(
    http: TestClient, held: dict[str, Any]
) -> None:
    put(http, held)
    put(http, held, b"model", name="model")
    lease = {key: held[key] for key in ("trial_id", "attempt", "token")}
    done = {
        "outcome": "complete",
        "metrics": {"val_loss": 1.0},
        "steps_done": 20,
        "device_seconds": 1,
        "engine": "solo",
    }
    http.post("/api/v1/leases/complete", json={"completions": [{"lease": lease} | done]})
    artifacts.collect_checkpoints(context(http).database, context(http).store)
    assert [path.read_bytes() for path in files(http)] == [b"model"]


def test_files_without_a_row_are_collected_and_files_with_one_never(http: TestClient, held: dict[str, Any]) -> None:
    put(http, held)
    orphan = artifacts.Upload(context(http).store, size=3, digest=sha256(b"abc").hexdigest())
    orphan.write(b"abc")
    orphan.finish()
    late = datetime.now(UTC) + timedelta(hours=1)
    assert artifacts.collect_orphans(context(http).database, context(http).store, now=late) == 1
    with context(http).database.read() as session:
        assert [str(path).endswith(session.scalars(select(Artifact.key)).one()) for path in files(http)] == [True]


def test_a_file_that_may_still_get_its_row_is_left_alone(http: TestClient) -> None:
    upload = artifacts.Upload(context(http).store, size=3, digest=sha256(b"abc").hexdigest())
    upload.write(b"abc")
    upload.finish()
    soon = datetime.now(UTC) + artifacts.ORPHANED_AFTER / 2
    assert artifacts.collect_orphans(context(http).database, context(http).store, now=soon) == 0
    upload.discard()


@pytest.mark.slow
def test_in_a_bucket_a_file_is_streamed_fenced_superseded_and_collected_as_in_a_folder(
    database_url: str, bucket: str
) -> None:
    app, data = create_app(Settings(database=database_url, artifacts=bucket)), os.urandom(9 * MAX_BODY)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as http:
        held = begun(http)
        path = f"/api/v1/trials/{held['trial_id']}/artifacts/checkpoint"
        sent = [put(http, held, b"old", step=10), put(http, held, data, step=20), put(http, held | {"attempt": 2})]
        wrong = put(http, held, **{"Repr-Digest": digest_header("00" * 32)})
        assert ([one.status_code for one in sent], wrong.status_code) == ([200, 200, 409], 422)
        assert http.get(path).content == data
        store, late = context(http).store, datetime.now(UTC) + timedelta(hours=1)
        assert len(list(store.older_than(late))) == 1
        artifacts.Upload(store, size=3, digest=sha256(b"abc").hexdigest()).discard()
        assert artifacts.collect_orphans(context(http).database, store, now=late) == 0
