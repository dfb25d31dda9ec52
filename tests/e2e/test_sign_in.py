"""The dashboard of a service that needs tokens, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect
from processes import Service
from visit import Visit

from service import migrate
from service.access import tokens
from service.settings import Settings

pytestmark = pytest.mark.timeout(120)
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A service that asks for tokens, and one of them."""
    folder = tmp_path_factory.mktemp("signed")
    settings = Settings(database=f"sqlite:///{folder}/switchback.db")
    with migrate.opened(settings) as database, database.write() as session:
        now = datetime.now(UTC)
        made = tokens.create(session, name="ann", role="viewer", projects=["a"], expires_at=None, now=now)
    with Service(settings.database, folder) as service:
        yield service.url, made


def test_a_reader_signs_in_and_out_and_the_page_never_holds_the_token(browser: Browser, token: tuple[str, str]) -> None:
    url, secret = token
    visit = Visit(browser.new_page(), url)
    page = visit.open("/")
    page.get_by_label("Access token").fill("sbk_nobody")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").filter(has_text="That did not work")).to_be_visible()
    page.get_by_label("Access token").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Studies", exact=True)).to_be_visible()
    assert secret not in page.content() + page.evaluate("document.cookie + JSON.stringify({...localStorage})")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Access token")).to_be_visible()
    assert visit.foreign == []
