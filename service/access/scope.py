"""Keeps projects apart in the database session: every statement of a scoped session sees its own projects' rows only.

An endpoint cannot forget to filter: the rows of others do not exist for it, so asking for one is a 404 like any other.
A table is kept apart by its column `project`, `study_id` or `trial_id`.
"""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import with_loader_criteria

from contract.errors import FieldError
from service.access.roles import Principal
from service.access.tables import ALL_PROJECTS, TokenProject
from service.database import Criteria
from service.errors import InvalidRequest, NotFound
from service.mapping import Base
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
    """What the rows of every table must fulfil to be seen."""
    found = ((mapper.class_, _owned(mapper.class_, sorted(projects))) for mapper in Base.registry.mappers)
    return tuple(with_loader_criteria(table, rule) for table, rule in found if rule is not None)


def _owned(table: type[Base], projects: list[str]) -> ColumnElement[bool] | None:
    """Through which column a table belongs to a project; None for those that belong to the service."""
    columns = table.__table__.c
    # Aliases of tables, not mapped classes: the criterion on studies must not be applied inside itself.
    study, trial = Study.__table__.alias("own_study"), Trial.__table__.alias("own_trial")
    if table is Worker:  # seen by the projects its token is for
        token = TokenProject.__table__.c
        return Worker.token_id.in_(select(token.token_id).where(token.project.in_([*projects, ALL_PROJECTS])))
    if "project" in columns:
        return columns.project.in_(projects)
    if "study_id" in columns:
        return select(study.c.id).where(study.c.id == columns.study_id, study.c.project.in_(projects)).exists()
    if "trial_id" in columns:
        of_study = trial.join(study, study.c.id == trial.c.study_id)
        owner = select(trial.c.id).select_from(of_study)
        return owner.where(trial.c.id == columns.trial_id, study.c.project.in_(projects)).exists()
    return None
