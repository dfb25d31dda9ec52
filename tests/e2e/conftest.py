"""A real browser for the tests of the dashboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
MEND = "no browser: install Chromium (`apt-get install chromium`, or `python -m playwright install chromium`)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: from the PATH, or the one playwright installed. Per module: its event loop must not outlive it."""
    from playwright.sync_api import sync_playwright  # every process loads this file

    with sync_playwright() as playwright:
        path = _executable(playwright)
        if path is None:
            if os.environ.get("SWITCHBACK_REQUIRE_BROWSER") == "1":
                pytest.fail(MEND)
            pytest.skip(MEND)
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


def _executable(playwright: Playwright) -> str | None:
    found = next(filter(None, map(shutil.which, COMMANDS)), None)
    own = playwright.chromium.executable_path
    return found or (own if Path(own).is_file() else None)
