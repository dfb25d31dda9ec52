"""Signing in to the dashboard: a cookie that scripts cannot read and other sites cannot send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import definition
from town import Town, town

V1 = "/api/v1"
GRID = definition(project="ours").model_dump(mode="json")
OWN = {"Origin": "http://localhost"}


@pytest.fixture(scope="module")
def built(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(sqlite_template, tmp_path_factory.mktemp("town")) as one:
        yield one


@pytest.fixture(autouse=True)
def no_cookie(built: Town) -> None:
    built.http.cookies.clear()


def sign_in(built: Town, role: str) -> str:
    answer = built.http.post(f"{V1}/session", json={"token": built.tokens[role]}, headers=OWN)
    assert answer.status_code == 200
    return str(answer.headers["set-cookie"])


def test_the_cookie_is_kept_from_scripts_and_from_other_sites(built: Town) -> None:
    cookie = sign_in(built, "viewer")
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"))


def test_the_cookie_reads_and_says_whose_it_is(built: Town) -> None:
    sign_in(built, "viewer")
    told = built.http.get(f"{V1}/session").json()
    assert (told["role"], told["projects"], told["signed_in"]) == ("viewer", ["ours"], True)


@pytest.mark.parametrize("origin", ["http://localhost:81", "https://localhost", "http://127.0.0.1", None])
def test_a_write_with_the_cookie_must_come_from_the_very_page(built: Town, origin: str | None) -> None:
    sign_in(built, "submitter")
    answer = built.http.post(f"{V1}/studies", json=GRID, headers={} if origin is None else {"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "origin-not-allowed")


def test_a_write_with_the_cookie_from_the_page_itself_is_done(built: Town) -> None:
    sign_in(built, "submitter")
    assert built.http.post(f"{V1}/studies", json=GRID, headers=OWN).status_code == 201


def test_signing_out_forgets_the_cookie(built: Town) -> None:
    sign_in(built, "viewer")
    assert built.http.delete(f"{V1}/session", headers=OWN).status_code == 204
    assert built.http.get(f"{V1}/session").status_code == 401


def test_a_page_of_another_origin_cannot_sign_anybody_out(built: Town) -> None:
    sign_in(built, "viewer")
    assert built.http.delete(f"{V1}/session", headers={"Origin": "http://localhost:81"}).status_code == 403


def test_no_token_is_in_the_page_or_in_an_answer(built: Town, caplog: pytest.LogCaptureFixture) -> None:
    token = built.tokens["viewer"]
    answers = [built.ask("GET", path, by="viewer").text for path in ("/", f"{V1}/session", f"{V1}/studies/99")]
    answers.append(built.http.post(f"{V1}/session", json={"token": token, "more": 1}).text)
    assert token[17:] not in "".join(answers) + caplog.text
