"""An access token opens what it is for, until it ends; a leaked database or log opens nothing."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from service.access import tokens
from service.access.tables import AccessToken
from service.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def make(database: Database, **changes: object) -> str:
    given: dict[str, object] = {"name": "ann", "role": "viewer", "projects": ["ours"], "expires_at": None, "now": NOW}
    with database.write() as session:
        return tokens.create(session, **given | changes)  # type: ignore[arg-type]


def test_a_token_says_whose_it_is(database: Database) -> None:
    token = make(database)
    with database.read() as session:
        who = tokens.verify(session, token, now=NOW)
    assert who is not None
    assert (who.name, who.role, who.projects) == (f"ann ({token[4:16]})", "viewer", frozenset({"ours"}))


def test_a_token_without_projects_is_for_all_of_them(database: Database) -> None:
    token = make(database, projects=None)
    with database.read() as session:
        who = tokens.verify(session, token, now=NOW)
    assert (who and who.projects, who and who.reaches("any")) == (None, True)


def test_a_token_has_256_random_bits_and_a_prefix_that_scanners_find(database: Database) -> None:
    made = {make(database) for _ in range(5)}
    assert all(re.fullmatch(r"sbk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", token) for token in made)
    assert len({token[17:] for token in made}) == 5


def test_the_database_holds_nothing_that_opens(database: Database) -> None:
    token = make(database)
    with database.read() as session:
        row = session.scalars(select(AccessToken)).one()
    assert token[17:] not in "".join(str(value) for value in vars(row).values())


@pytest.mark.parametrize("later", [timedelta(0), DAY])
def test_a_token_ends_at_its_time(database: Database, later: timedelta) -> None:
    token = make(database, expires_at=NOW + DAY)
    with database.read() as session:
        assert tokens.verify(session, token, now=NOW + DAY - timedelta(seconds=1)) is not None
        assert tokens.verify(session, token, now=NOW + DAY + later) is None


def test_a_revoked_token_opens_nothing_and_is_revoked_once(database: Database) -> None:
    token = make(database)
    with database.write() as session:
        counts = [tokens.revoke(session, token[4:16], now=NOW) for _ in range(2)]
        assert (counts, tokens.verify(session, token, now=NOW)) == ([1, 0], None)


def test_guesses_open_nothing(database: Database) -> None:
    token = make(database)
    guesses = [token[:-1] + ("a" if token[-1] != "a" else "b"), token[:17] + secrets.token_urlsafe(32), token + "a"]
    guesses += ["", "sbk_", token[4:], token.upper(), f"sbk_{'0' * 12}_{token[17:]}", "sbk_' or 1=1 --", "sbk_\x00"]
    with database.read() as session:
        assert [tokens.verify(session, guess, now=NOW) for guess in guesses] == [None] * len(guesses)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "name: must be"),
        ({"name": "a\nb"}, "name: must be"),
        ({"projects": ["a b"]}, "project: must match"),
        ({"projects": ["*"]}, "project: must match"),
        ({"projects": []}, "project: name at least one"),
        ({"expires_at": NOW}, "expires: must be in the future"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused_by_name(
    database: Database, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make(database, **changes)
