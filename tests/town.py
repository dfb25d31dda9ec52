"""A service with tokens and two projects, `ours` and `theirs`, each with studies, and a token for each role."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, get_args

from desk import definition, token, worker
from fastapi.testclient import TestClient

from contract.access import Role
from contract.leases import ClaimRequest, LeaseRef, TrialReport
from service import queue, studies
from service.access import tokens
from service.app import create_app
from service.database import Database
from service.queue import Claim
from service.settings import Settings
from service.webhooks.signing import new_secret
from service.webhooks.tables import Webhook

PROJECTS = ("ours", "theirs")
_NUMBERS = count()
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass
class Town:
    """The service over HTTP, its database, and what was put there. Every token is of the project `ours`, one apart."""

    http: TestClient
    database: Database
    tokens: dict[str, str] = field(default_factory=dict)
    studies: dict[str, int] = field(default_factory=dict)
    trials: dict[str, int] = field(default_factory=dict)

    def token(self, role: Role, *projects: str, **changes: Any) -> str:
        """A new token; without projects, of all of them."""
        given: dict[str, Any] = {"name": role, "expires_at": None, "now": datetime.now(UTC)} | changes
        with self.database.write() as session:
            return tokens.create(session, role=role, projects=projects or None, **given)

    def ask(self, method: str, path: str, *, by: str | None = None, **given: Any) -> Any:
        """A request with a token of the town, by role, or with any token."""
        headers = {} if by is None else {"Authorization": f"Bearer {self.tokens.get(by, by)}"}
        return self.http.request(method, path, headers=headers | given.pop("headers", {}), **given)

    def begun(self, project: str) -> int:
        """A trial that has said how long it takes, so that it can be drawn."""
        lease = LeaseRef.model_validate(self.lease(project))
        report = TrialReport(lease=lease, total_steps=20, steps_per_epoch=10, points=[])
        with self.database.write() as session:
            queue.report(session, [[report]], now=self.database.now(session), ttl_s=600)
        return lease.trial_id

    def study(self, project: str, **changes: Any) -> int:
        with self.database.write() as session:
            return studies.create(session, definition(**changes), project=project, now=self.database.now(session))

    def webhook(self, project: str) -> int:
        with self.database.write() as session:
            now = self.database.now(session)
            row = Webhook(project=project, url="https://hooks.example/in", secret=new_secret(), created_at=now)
            session.add(row)
            session.flush()
            return row.id

    def lease(self, project: str) -> dict[str, Any]:
        """A fresh lease of a trial of the project, begun."""
        model = f"m{next(_NUMBERS)}"
        study = self.study(project, cells=1, task={"dataset": "digits", "model": model})
        request = ClaimRequest(worker=worker("lessee", tasks=(f"digits/{model}",)), token=token())
        with self.database.write() as session:
            ((lease,),) = queue.claim(session, [Claim(request)], now=self.database.now(session), ttl_s=600)
        assert lease.trial.study_id == study
        return {"trial_id": lease.trial.id, "attempt": lease.attempt, "token": request.token}


@contextmanager
def town(template: Path, folder: Path, **settings: Any) -> Iterator[Town]:
    """The town, with the tokens of every role, in a copy of a migrated SQLite file."""
    given = {"auth": "tokens", "webhooks": True} | settings
    chosen = Settings(database=f"sqlite:///{shutil.copy(template, folder / 'town.db')}", **given)
    app = create_app(chosen)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as http:
        built = Town(http, Database(chosen))
        built.tokens = {role: built.token(role, "ours") for role in ROLES}
        for project in PROJECTS:
            built.studies[project] = built.study(project, name=f"study of {project}")
            built.trials[project] = built.begun(project)
        yield built
        built.database.close()
