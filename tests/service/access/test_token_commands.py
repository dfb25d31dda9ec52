"""`switchback token`: what it prints, where, and what it leaves in the database."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.cli import app as switchback
from service.access import tokens
from service.database import Database
from service.local_workers import access
from service.settings import Settings
from service.token_commands import app

Run = Callable[..., Result]


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The command is the same on every database."""
    (tmp_path / "switchback.db").write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{tmp_path}/switchback.db"


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SWITCHBACK_DATABASE", database_url)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def test_a_created_token_is_printed_alone_and_opens(run: Run, database: Database) -> None:
    made = run("create", "--role", "worker", "--project", "a", "--project", "b", "--name", "rig 1")
    with database.read() as session:
        who = tokens.verify(session, made.stdout.strip(), now=database.now(session))
    assert who is not None
    assert (who.role, who.projects, who.name[:5]) == ("worker", frozenset({"a", "b"}), "rig 1")


def test_listed_tokens_show_everything_but_the_token(run: Run) -> None:
    token = run("create", "--role", "admin", "--expires", "never").stdout.strip()
    shown = run("list").stdout
    assert all(word in shown for word in (token[4:16], "admin", "*", "good for ever"))
    assert token[17:] not in shown


def test_a_revoked_token_opens_nothing_and_is_listed_so(run: Run, database: Database) -> None:
    token = run("create", "--role", "viewer").stdout.strip()
    assert run("revoke", token[4:16]).exit_code == 0
    with database.read() as session:
        assert tokens.verify(session, token, now=database.now(session)) is None
    assert "revoked" in run("list").stdout


def test_a_token_in_a_file_is_for_its_owner_alone_and_made_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "worker.token"
    made = [run("create", "--role", "worker", "--output", path) for _ in range(2)]
    assert (path.read_text()[:4], stat.S_IMODE(path.stat().st_mode), made[0].stdout) == ("sbk_", 0o600, "")
    assert (made[1].exit_code, len(run("list").stdout.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("create", "--role", "boss"), "--role"),
        (("create", "--role", "viewer", "--project", "a b"), "project: must match"),
        (("create", "--role", "viewer", "--expires", "soon"), "--expires: must be"),
        (("revoke", "0123456789ab"), "got 0123456789ab"),
        (("list", "--database", "mysql://localhost/db"), "database: must be"),
    ],
)
def test_a_bad_argument_is_refused_by_name(run: Run, given: tuple[str, ...], said: str) -> None:
    told = run(*given)
    assert (told.exit_code, said in told.stderr) == (2, True)


def test_an_address_that_others_reach_is_refused_without_authentication() -> None:
    options = ["--host", "0.0.0.0", "--port", "0", "--allow-host", "rig", "--auth", "none"]
    done = CliRunner().invoke(switchback, ["serve", *options])
    assert (done.exit_code, "switchback token create" in done.stderr) == (2, True)


def test_workers_of_the_same_machine_get_a_token_where_one_is_needed(run: Run, database_url: str) -> None:
    settings = Settings(database=database_url)
    with access(settings) as token:
        assert token is None
    run("create", "--role", "viewer")
    with access(settings) as token:
        assert token is not None
    assert [line.split()[-1] for line in run("list").stdout.splitlines()][1:] == ["revoked"]
