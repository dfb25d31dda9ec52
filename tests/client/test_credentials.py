"""The access token: where a client finds it, how it travels, and what is said when it is none or refused."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner
from wire import URL, problem, shown, transport, view

from client import credentials
from client.cli import app
from client.errors import AccessDenied, BadToken
from client.studies import StudyClient

TOKEN = "sbk_0123456789ab_" + "s" * 43


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (credentials.TOKEN, credentials.TOKEN_FILE):
        monkeypatch.setenv(name, "")  # and put back what a command sets


def sent() -> httpx2.Request:
    seen: list[httpx2.Request] = []
    with StudyClient(URL, transport=transport(shown(view()), seen=seen)) as client:
        client.get(7)
    return seen[0]


def test_without_a_token_none_is_sent() -> None:
    assert "authorization" not in sent().headers


def test_a_token_travels_in_the_header_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(credentials.TOKEN, f" {TOKEN}\n")
    request = sent()
    assert (request.headers["authorization"], TOKEN in str(request.url)) == (f"Bearer {TOKEN}", False)


def test_a_token_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    monkeypatch.setenv(credentials.TOKEN_FILE, str(path))
    assert sent().headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("content", ["", "hunter2", "sbk_\nX-Evil: 1", "sbk_"])
def test_what_is_no_token_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    monkeypatch.setenv(credentials.TOKEN_FILE, str(path))
    with pytest.raises(BadToken, match="SWITCHBACK_TOKEN_FILE") as raised:
        sent()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(("status", "code"), [(401, "unauthenticated"), (403, "forbidden"), (403, "quota-exceeded")])
def test_a_refused_token_says_that_access_is_denied(status: int, code: str) -> None:
    refused = problem(status, code, "no")  # type: ignore[arg-type]  # one of the codes
    with pytest.raises(AccessDenied), StudyClient(URL, transport=transport(refused)) as client:
        client.get(7)


def test_a_token_file_that_is_missing_ends_the_command_with_its_name(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["--token-file", str(tmp_path / "none"), "studies"])
    assert (told.exit_code, "SWITCHBACK_TOKEN_FILE" in told.stderr) == (2, True)
