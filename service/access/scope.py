"""Keeps projects apart in the database session: every statement of a scoped session sees its own projects' rows only.

An endpoint cannot forget to filter: the rows of others do not exist for it, so asking for one is a 404 like any other.
"""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.orm import with_loader_criteria

from contract.errors import FieldError
from service.access.roles import Principal
from service.access.tables import ALL_PROJECTS, TokenProject
from service.database import Criteria
from service.errors import InvalidRequest, NotFound
from service.models import Study, Trial, Worker

DEFAULT_PROJECT = "default"


def project_for(who: Principal, named: str | None) -> str:
    """The project a new study belongs to: the named one, else the asker's only one, else `default`."""
    if named is None:
        own = sorted(who.projects or (DEFAULT_PROJECT,))
        if len(own) == 1 or who.reaches(DEFAULT_PROJECT):
            return own[0] if len(own) == 1 else DEFAULT_PROJECT
        broken = FieldError(field="project", rule=f"must be one of {', '.join(own)}", value=None)
        raise InvalidRequest(f"project: must be named, one of {', '.join(own)}", [broken])
    if not who.reaches(named):
        raise NotFound(f"there is no project {named!r}")
    return named


@lru_cache(maxsize=1_024)
def criteria(projects: frozenset[str]) -> Criteria:
    """What studies, trials and workers must fulfil to be seen. A worker is seen by the projects its token is for."""
    names = sorted(projects)
    # Columns of the table, not of the mapped class: the criterion on studies must not be applied inside itself.
    study = Study.__table__.c
    own = select(study.id).where(study.project.in_(names))
    serving = select(TokenProject.token_id).where(TokenProject.project.in_([*names, ALL_PROJECTS]))
    return (
        with_loader_criteria(Study, Study.project.in_(names)),
        with_loader_criteria(Trial, Trial.study_id.in_(own)),
        with_loader_criteria(Worker, Worker.token_id.in_(serving)),
    )
