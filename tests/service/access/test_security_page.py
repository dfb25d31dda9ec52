"""docs/security.md has the tables that the code has: `python tests/service/access/test_security_page.py` prints them."""

from __future__ import annotations

from pathlib import Path

from routes import ROUTES
from town import ROLES

from service.access.roles import RIGHTS

PAGE = Path(__file__).parents[3] / "docs" / "security.md"


def roles() -> str:
    rights = ("read", "submit", "work", "admin")
    lines = [f"| role | {' | '.join(rights)} |", "|---" * (len(rights) + 1) + "|"]
    lines += [f"| {role} | {' | '.join('yes' if one in RIGHTS[role] else '' for one in rights)} |" for role in ROLES]
    return "\n".join(lines)


def routes() -> str:
    lines = ["| right | routes |", "|---|---|"]
    for right in ("public", "read", "submit", "work", "admin"):
        own = [f"`{method} {path}`" for (method, path), route in ROUTES.items() if route.right == right]
        lines.append(f"| {right} | {', '.join(own)} |")
    return "\n".join(lines)


def test_the_page_shows_what_each_role_may() -> None:
    assert roles() in PAGE.read_text()


def test_the_page_shows_the_right_each_route_needs() -> None:
    assert routes() in PAGE.read_text()


if __name__ == "__main__":
    print(roles(), routes(), sep="\n\n")  # noqa: T201 - to be pasted
