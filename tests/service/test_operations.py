"""Operating a service: is it ready, is anything stuck, what did it log, and what does the doctor say."""

from __future__ import annotations

import json
import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest
from desk import Desk, definition
from fastapi.testclient import TestClient
from sqlalchemy import text
from typer import Typer
from typer.testing import CliRunner

from service import logs
from service.database import Database
from service.doctor import examine
from service.doctor_command import doctor
from service.models import Worker
from service.settings import Settings


def sample(page: str, name: str) -> float:
    found = re.search(rf"^switchback_{name} ([0-9.e+-]+)$", page, re.MULTILINE)
    assert found is not None, page
    return float(found[1])


def submit(http: TestClient) -> None:
    http.post("/api/v1/studies", json=definition(cells=3).model_dump(mode="json"))


def test_ready_means_that_the_planner_lives(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert http.get("/readyz").status_code == 200
    planner = http.app.state.context.planner  # type: ignore[attr-defined]  # the test client types it as any ASGI app
    planner.close()
    answer = http.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "planner has stopped" in answer.json()["detail"]


def test_ready_means_a_schema_that_this_version_can_use(http: TestClient) -> None:
    database: Database = http.app.state.context.database  # type: ignore[attr-defined]  # as above
    with database.write() as session:
        session.execute(text("update alembic_version set version_num = '0001'"))
    assert "schema revision '0001'" in http.get("/readyz").json()["detail"]


def test_a_process_stays_ready_while_a_newer_version_takes_over_beside_it(http: TestClient) -> None:
    database: Database = http.app.state.context.database  # type: ignore[attr-defined]  # as above
    with database.write() as session:
        session.execute(text("update alembic_version set version_num = 'of-tomorrow'"))
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()["revision"]) == (200, "of-tomorrow")


def test_metrics_tell_that_trials_wait_for_a_worker_that_is_not_there(http: TestClient) -> None:
    submit(http)
    page = http.get("/metrics").text
    assert sample(page, "queue_unserved") == sample(page, r'trials\{status="queued"\}') == 3
    assert sample(page, "leases_overdue") == 0


def test_metrics_time_requests_by_route_and_never_by_what_a_stranger_asked_for(http: TestClient) -> None:
    for path in ("/api/v1/studies/1", "/api/v1/studies/2", "/no/such/page"):
        http.get(path)
    page = http.get("/metrics").text
    assert 'switchback_http_request_seconds_count{method="GET",route="/studies/{study_id}",status="4xx"} 2.0' in page
    assert "/no/such/page" not in page


def test_a_request_keeps_the_id_it_came_with_or_gets_one(http: TestClient) -> None:
    assert http.get("/healthz", headers={"X-Request-Id": "ci-77"}).headers["x-request-id"] == "ci-77"
    assert re.fullmatch("[0-9a-f]{32}", http.get("/healthz", headers={"X-Request-Id": "a b"}).headers["x-request-id"])


def test_a_fault_of_ours_is_answered_and_logged_under_the_id_of_its_request(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(caplog.handler, "formatter", logs.JsonLines())
    monkeypatch.setattr("service.studies.page", lambda *given, **named: 1 / 0)
    answer = http.get("/api/v1/studies", headers={"X-Request-Id": "ci-78"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    line = json.loads(caplog.text)
    assert (answer.headers["x-request-id"], line["request_id"]) == ("ci-78", "ci-78")
    assert "ZeroDivisionError" in line["error"]


def test_the_access_log_names_the_request_and_holds_no_secret(
    http: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "service.access"):
        http.get("/healthz?token=sbk_secret", headers={"Authorization": "Bearer sbk_secret", "X-Request-Id": "one"})
    line = caplog.records[-1]
    assert (vars(line)["path"], vars(line)["status"]) == ("/healthz", 200)
    assert "sbk_secret" not in line.getMessage() + repr(vars(line))


def test_a_log_line_is_one_json_object_with_the_request_it_belongs_to() -> None:
    record = logging.makeLogRecord({"name": "service", "levelname": "INFO", "msg": "two\nlines", "ms": 3})
    token = logs.REQUEST_ID.set("one")
    line = logs.JsonLines().format(record)
    logs.REQUEST_ID.reset(token)
    assert "\n" not in line
    assert json.loads(line).items() >= {"request_id": "one", "message": "two\nlines", "ms": 3}.items()


def verdicts(desk: Desk) -> dict[str, tuple[str, str]]:
    settings = Settings(database=desk.database.url.render_as_string(hide_password=False))
    return {found.what: (found.verdict, found.said) for found in examine(settings)}


def test_the_doctor_finds_trials_that_no_worker_can_train(desk: Desk) -> None:
    desk.create(cells=2)
    found = verdicts(desk)
    assert found["queue"] == ("bad", "2 trials of digits/mlp wait, and no live worker offers it")
    assert (found["database"][0], found["schema"][0], found["workers"][0]) == ("ok", "ok", "warning")


def test_the_doctor_finds_workers_of_another_version(desk: Desk) -> None:
    desk.create(cells=1)
    desk.claim()
    with desk.database.write() as session:
        worker = session.query(Worker).one()
        worker.last_seen_at, worker.version = desk.database.now(session) + timedelta(seconds=1), "0.0.1"
    assert verdicts(desk)["workers"] == ("warning", "alive: 1 of version 0.0.1")


def test_the_doctor_finds_an_older_schema(desk: Desk) -> None:
    with desk.database.write() as session:
        session.execute(text("update alembic_version set version_num = '0001'"))
    assert verdicts(desk)["schema"][0] == "bad"


def test_the_doctor_says_what_mends_a_database_that_is_not_there(tmp_path: Path) -> None:

    app = Typer()
    app.command()(doctor)
    result = CliRunner().invoke(app, ["--database", f"sqlite:///{tmp_path}/none.db"])
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "does not exist" in result.output


def test_the_doctor_says_so_when_the_server_does_not_answer() -> None:
    found = examine(Settings(database="postgresql://nobody@127.0.0.1:1/none"))
    assert [one.verdict for one in found] == ["bad"]
