"""Roles and rights: the one table of who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from contract.access import Role

Right: TypeAlias = Literal["public", "read", "submit", "work", "admin"]
"""What a route needs: `read` to look, `submit` to change studies, `work` to train, `admin` for the rest."""

RIGHTS: Mapping[Role, frozenset[Right]] = {
    "admin": frozenset({"public", "read", "submit", "work", "admin"}),
    "submitter": frozenset({"public", "read", "submit"}),
    "worker": frozenset({"public", "work"}),
    "viewer": frozenset({"public", "read"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks. `projects` is None for all; `token_id` is None where the service runs without tokens."""

    name: str
    role: Role
    projects: frozenset[str] | None = None
    token_id: int | None = None

    def may(self, right: Right) -> bool:
        """Whether the role has the right."""
        return right in RIGHTS[self.role]

    def reaches(self, project: str) -> bool:
        """Whether the project is one of its own."""
        return self.projects is None or project in self.projects


OWNER = Principal(name="owner", role="admin")
"""Everybody on a service without tokens, which answers its own machine only."""
