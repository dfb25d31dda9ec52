"""The definitions of studies as stored: read once in the life of the process, for a study never changes its own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import Text, bindparam, cast, select
from sqlalchemy.orm import Session

from contract.studies import CreateStudy
from service.models import Study

_TEXTS = select(Study.id, cast(Study.definition, Text)).where(Study.id.in_(bindparam("ids", expanding=True)))


@lru_cache(maxsize=1_024)
def parsed(text: str) -> CreateStudy:
    """A definition from its JSON; the text is the key, so no two databases are ever confused."""
    return CreateStudy.model_validate_json(text)


def definitions(session: Session, study_ids: Iterable[int]) -> dict[int, CreateStudy]:
    """The definitions of these studies by their ids."""
    rows = session.connection().execute(_TEXTS, {"ids": sorted(set(study_ids))})
    return {study_id: parsed(text) for study_id, text in rows}
