"""docs/security.md has the tables that the code has; `make docs` writes them anew."""

from __future__ import annotations

import re
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


def current() -> str:
    """The page with its tables as they should be."""
    page = PAGE.read_text()
    for name, table in (("roles", roles()), ("routes", routes())):
        page = re.sub(
            rf"<!-- {name} -->.*?<!-- end -->", f"<!-- {name} -->\n{table}\n<!-- end -->", page, flags=re.DOTALL
        )
    return page


def test_the_page_shows_what_each_role_may_and_what_each_route_needs() -> None:
    assert PAGE.read_text() == current(), "run `make docs`"


if __name__ == "__main__":
    PAGE.write_text(current())
