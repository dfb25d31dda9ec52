"""A page in a real browser: what it said, asked for and stumbled over."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Dialog, Page


@dataclass
class Visit:
    """A page of the dashboard with everything it complained about and all it asked for."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page = self.page
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._refuse)
        page.on("request", lambda request: self.asked.append(request.url))

    def open(self, route: str) -> Page:
        """Go to a hash route, by a full load."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/#{route}")
        return self.page

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            self.complaints.append(said.text)

    def _refuse(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    @property
    def foreign(self) -> list[str]:
        """What was asked of any other host than the service."""
        return [url for url in self.asked if url != "about:blank" and urlsplit(url).netloc != urlsplit(self.url).netloc]
