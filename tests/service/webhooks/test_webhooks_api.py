"""Webhooks over HTTP: made by administrators where they are switched on, their secret shown once, what failed shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from town import Town, town

HOOKS = "/api/v1/webhooks"
NEW = {"project": "ours", "url": "https://127.0.0.1/in"}


@pytest.fixture(scope="module")
def built(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(sqlite_template, tmp_path_factory.mktemp("town")) as one:
        yield one


def test_the_secret_of_a_webhook_is_shown_once(built: Town) -> None:
    made = built.ask("POST", HOOKS, by="admin", json=NEW).json()
    assert made["secret"].startswith("whsec_")
    assert made["secret"] not in built.ask("GET", HOOKS, by="admin").text


def test_webhooks_are_off_unless_switched_on(sqlite_template: Path, tmp_path: Path) -> None:
    with town(sqlite_template, tmp_path, webhooks=False) as built:
        answer = built.ask("POST", HOOKS, by="admin", json=NEW)
    assert (answer.status_code, "--webhooks" in answer.json()["detail"]) == (409, True)


@pytest.mark.parametrize("url", ["http://hooks.example/", "https://a:b@hooks.example/", "https://", "https://[/x"])
def test_a_url_that_is_not_plain_https_is_refused_by_field(built: Town, url: str) -> None:
    answer = built.ask("POST", HOOKS, by="admin", json=NEW | {"url": url})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "url")


def test_a_message_to_the_inside_shows_why_it_did_not_go(built: Town) -> None:
    number = built.ask("POST", HOOKS, by="admin", json=NEW).json()["id"]
    built.ask("POST", f"/api/v1/studies/{built.studies['ours']}/stop", by="submitter")
    for _ in range(100):
        (delivery,) = built.ask("GET", f"{HOOKS}/{number}/deliveries", by="admin").json()["items"]
        if delivery["attempts"]:
            break
        time.sleep(0.05)
    assert (delivery["state"], "must have public addresses only" in delivery["error"]) == ("waiting", True)


def test_a_deleted_webhook_is_gone_with_its_messages(built: Town) -> None:
    number = built.ask("POST", HOOKS, by="admin", json=NEW).json()["id"]
    built.ask("POST", f"/api/v1/studies/{built.studies['ours']}/stop", by="submitter")
    assert built.ask("DELETE", f"{HOOKS}/{number}", by="admin").status_code == 204
    assert built.ask("GET", f"{HOOKS}/{number}/deliveries", by="admin").status_code == 404
