"""How often a token may ask, how often an address may guess, and how much a project may have."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk, definition
from town import Town, town

from service import quotas
from service.access.buckets import MOST, Buckets
from service.access.gatekeeper import GUESSES
from service.errors import QuotaExceeded
from service.settings import Settings

V1 = "/api/v1"
GRID = definition(project="ours").model_dump(mode="json")


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    now = [0.0]
    buckets: Buckets[str] = Buckets(2.0, 3.0, lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    now[0] = 0.5
    assert (buckets.take("a"), buckets.take("a"), buckets.take("b")) == (0.0, 0.5, 0.0)


def test_buckets_of_many_names_stay_few() -> None:
    now = [0.0]
    buckets: Buckets[int] = Buckets(1.0, 2.0, lambda: now[0])
    for name in range(2 * MOST):
        now[0] += 0.001
        buckets.take(name)
    assert len(buckets._left) <= MOST


@pytest.fixture(scope="module")
def built(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(sqlite_template, tmp_path_factory.mktemp("town"), token_rate=2.0, live_studies=3) as one:
        yield one


def test_a_token_that_asks_too_often_is_told_when_to_come_back(built: Town) -> None:
    answers = [built.ask("GET", f"{V1}/schedules/cosine", by="viewer") for _ in range(8)]
    other = built.ask("GET", f"{V1}/schedules/cosine", by="admin")
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (answers[0].status_code, other.status_code, refused[0].headers["Retry-After"]) == (200, 200, "1")


def test_a_project_has_only_so_many_running_studies(built: Town) -> None:
    answers = [built.ask("POST", f"{V1}/studies", by="submitter", json=GRID) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 403]
    assert answers[1].json()["code"] == "quota-exceeded"


def test_an_address_that_guesses_tokens_is_soon_not_listened_to(built: Town) -> None:
    """The last to ask here: from now on this address is heard with tokens already known only."""
    known = built.token("viewer")
    assert built.ask("GET", f"{V1}/schedules", by=known).status_code == 200
    guesses = [f"sbk_{known[4:16]}_{secrets.token_urlsafe(32)}" for _ in range(GUESSES + 5)]
    statuses = [built.ask("GET", f"{V1}/schedules", by=guess).status_code for guess in guesses]
    assert (statuses[:GUESSES], statuses[-1]) == ([401] * GUESSES, 429)
    assert built.http.post(f"{V1}/session", json={"token": guesses[0]}).status_code == 429
    assert built.ask("GET", f"{V1}/schedules", by=known).status_code == 200


def test_a_quota_counts_the_project_alone_and_what_still_runs(desk: Desk) -> None:
    desk.create(cells=3)
    with desk.database.read() as session:
        quotas.check(session, "other", Settings(live_studies=1, queued_trials=1))
        quotas.check(session, "default", Settings(live_studies=2, queued_trials=4))
        with pytest.raises(QuotaExceeded, match="3 trials waiting"):
            quotas.check(session, "default", Settings(queued_trials=3))
        with pytest.raises(QuotaExceeded, match="1 running studies"):
            quotas.check(session, "default", Settings(live_studies=1))


@pytest.mark.parametrize("name", ["token_rate", "live_studies", "queued_trials"])
def test_a_limit_that_lets_nothing_through_is_refused_by_name(sqlite_template: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: must be > 0"), town(sqlite_template, tmp_path, **{name: 0}):
        pass
