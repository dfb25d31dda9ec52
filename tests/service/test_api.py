"""The HTTP API on both databases: answers, errors, and that bad input loses nothing."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest
from desk import definition, worker
from fastapi.testclient import TestClient

GRID = definition().model_dump(mode="json")


def claim(http: TestClient, **changes: Any) -> dict[str, Any]:
    body = {"worker": worker().model_dump(), "token": secrets.token_urlsafe(32), "max_trials": 1} | changes
    lease = http.post("/api/v1/leases/claim", json=body).json()["leases"][0]
    return {"trial_id": lease["trial"]["id"], "attempt": lease["attempt"], "token": body["token"]}


def finish(http: TestClient, lease: dict[str, Any], loss: float) -> None:
    step = {"step": 20, "values": {"train_loss": loss, "val_loss": loss}}
    report = {"lease": lease, "total_steps": 20, "steps_per_epoch": 10, "points": [step]}
    assert http.post("/api/v1/leases/report", json={"reports": [report]}).status_code == 200
    end = {"lease": lease, "outcome": "complete", "metrics": {"val_loss": loss}, "steps_done": 20}
    end |= {"device_seconds": 0.5, "engine": "solo"}
    done = http.post("/api/v1/leases/complete", json={"completions": [end]})
    assert done.json() == {"trials": [{"trial_id": lease["trial_id"], "status": "complete"}]}


def test_a_study_goes_from_request_to_winner(http: TestClient) -> None:
    created = http.post("/api/v1/studies", json=GRID)
    assert created.status_code == 201
    study = created.headers["Location"]
    for loss in (0.4, 0.2, 0.3, 0.5):
        finish(http, claim(http), loss)
    best = http.get(f"{study}/best").json()
    assert best["entry"]["params"]["lr"] == 0.02
    assert best["metrics"] == {"val_loss": 0.2}
    assert [entry["mean"] for entry in http.get(f"{study}/leaderboard").json()["items"]] == [0.2, 0.3, 0.4, 0.5]


def test_a_study_that_ran_out_of_trials_is_complete(http: TestClient) -> None:
    study = http.post("/api/v1/studies", json=definition(cells=1).model_dump(mode="json")).headers["Location"]
    finish(http, claim(http), 0.4)
    for _ in range(100):
        if http.get(study).json()["status"] != "running":
            break
        time.sleep(0.05)
    assert http.get(study).json()["status"] == "complete"


def test_a_stopped_study_is_stopped_once(http: TestClient) -> None:
    study = http.post("/api/v1/studies", json=GRID).headers["Location"]
    assert http.post(f"{study}/stop").json()["status"] == "stopped"
    again = http.post(f"{study}/stop").json()
    assert again["progress"]["cancelled"] == 4


def test_best_before_any_result_says_so(http: TestClient) -> None:
    study = http.post("/api/v1/studies", json=GRID).headers["Location"]
    answer = http.get(f"{study}/best")
    assert (answer.status_code, answer.json()["code"]) == (409, "no-result-yet")


def test_studies_are_listed_newest_first_in_pages(http: TestClient) -> None:
    for name in ("one", "two", "three"):
        http.post("/api/v1/studies", json=GRID | {"name": name})
    page = http.get("/api/v1/studies?limit=2").json()
    rest = http.get(f"/api/v1/studies?limit=2&cursor={page['next']}").json()
    names = [item["definition"]["name"] for item in page["items"] + rest["items"]]
    assert names == ["three", "two", "one"]


def test_a_body_the_reader_has_already_is_not_sent_again(http: TestClient) -> None:
    http.post("/api/v1/studies", json=GRID)
    tag = http.get("/api/v1/studies/1/leaderboard").headers["ETag"]
    again = http.get("/api/v1/studies/1/leaderboard", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_a_study_without_a_worker_says_what_it_waits_for(http: TestClient) -> None:
    study = http.post("/api/v1/studies", json=GRID).headers["Location"]
    assert "no worker is connected" in http.get(study).json()["waiting"]


def test_a_study_whose_task_no_worker_offers_names_the_tasks_and_the_near_miss(http: TestClient) -> None:
    task = {"dataset": "digits", "model": "mpl"}
    study = http.post("/api/v1/studies", json=GRID | {"task": task}).headers["Location"]
    http.post("/api/v1/leases/claim", json={"worker": worker().model_dump(), "token": secrets.token_urlsafe(32)})
    waiting = http.get(study).json()["waiting"]
    assert "got 'digits/mpl'; did you mean 'digits/mlp'?" in waiting


def test_a_preview_shows_the_trials_and_stores_none(http: TestClient) -> None:
    preview = http.post("/api/v1/previews?limit=3", json=GRID).json()
    assert (preview["planned"], len(preview["proposals"])) == (4, 3)
    assert http.get("/api/v1/studies").json()["items"] == []


BAD_STUDIES: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown family": ({"space": {"schedules": ["cosin"], "lr": 0.1}}, "space.schedules[0]", "cosine"),
    "unknown parameter": (
        {"space": {"schedules": [{"family": "rex", "dd": 0.1}], "lr": 0.1}},
        "space.schedules[0].dd",
        "d",
    ),
    "unknown field": ({"colour": "red"}, "colour", "red"),
    "unknown method": ({"search": {"method": "anneal"}}, "search", "anneal"),
    "range upside down": ({"space": {"schedules": ["constant"], "lr": {"low": 1, "high": 0.1}}}, "lr", "low < high"),
    "log range at zero": (
        {"space": {"schedules": ["constant"], "lr": {"low": 0, "high": 1, "log": True}}},
        "lr",
        "zero",
    ),
    "warmup too long": (
        {"space": {"schedules": [{"family": "cosine", "warmup": "30 steps"}], "lr": 0.1}},
        "warmup",
        "30",
    ),
    "no rate": ({"space": {"schedules": ["cosine"]}}, "space.lr", "lr"),
    "ten million cells": (
        {
            "space": {
                "schedules": ["constant"],
                "lr": {"low": 0.1, "high": 1, "points": 10_000},
                "weight_decay": {"low": 0, "high": 1, "points": 1_000},
            }
        },
        "space",
        "10,000,000",
    ),
    "both budgets": ({"budget": {"epochs": 1, "steps": 1}}, "budget", "exactly one"),
    "test metric": ({"objective": {"metric": "test_loss", "direction": "minimize"}}, "objective", "test_loss"),
    "a boolean for a number": ({"seed": True}, "seed", "true"),
}


@pytest.mark.parametrize("case", BAD_STUDIES)
def test_a_bad_study_is_refused_by_field_and_value_and_nothing_is_stored(http: TestClient, case: str) -> None:
    changes, field, shown = BAD_STUDIES[case]
    answer = http.post("/api/v1/studies", json=GRID | changes)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert any(field in error["field"] for error in problem["errors"]), problem
    assert shown in problem["detail"], problem
    assert http.get("/api/v1/studies").json()["items"] == []


@pytest.mark.parametrize("body", [b"{", b"name: yaml", b"", b'{"name": NaN}'])
def test_a_body_that_is_not_json_is_refused_as_a_problem(http: TestClient, body: bytes) -> None:
    answer = http.post("/api/v1/studies", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.json()["code"] in {"invalid-json", "invalid-request"}


def test_a_report_with_a_stale_token_is_409_lease_lost(http: TestClient) -> None:
    http.post("/api/v1/studies", json=GRID)
    lease = claim(http) | {"token": secrets.token_urlsafe(32)}
    body = {"reports": [{"lease": lease, "total_steps": 20, "steps_per_epoch": 10, "points": []}]}
    answer = http.post("/api/v1/leases/report", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "lease-lost")


@pytest.mark.parametrize("path", ["/api/v1/studies/99", "/api/v1/trials/99", "/api/v1/nowhere"])
def test_what_does_not_exist_is_a_404_problem(http: TestClient, path: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


@pytest.mark.parametrize("changed", [{"name": "\0"}, {"device": "cpu\0"}, {"tasks": ["digits/mlp", "\0/mlp"]}])
def test_a_text_with_a_nul_is_refused_before_a_database_has_to(http: TestClient, changed: dict[str, Any]) -> None:
    body = {"worker": worker().model_dump() | changed, "token": secrets.token_urlsafe(32)}
    answer = http.post("/api/v1/leases/claim", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert {error["rule"] for error in answer.json()["errors"]} == {"must not hold the character NUL"}
