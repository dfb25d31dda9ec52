"""The definitions of studies as stored: read once in the life of the process, for a study never changes its own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import Text, cast, select
from sqlalchemy.orm import Session

from contract.studies import CreateStudy
from service.models import Study
from service.prepared import Prepared, among

_TEXTS = Prepared(select(Study.id, cast(Study.definition, Text).label("text")).where(among(Study.id, "p_ids")))


@lru_cache(maxsize=1_024)
def parsed(text: str) -> CreateStudy:
    """A definition from its JSON; the text is the key, so no two databases are ever confused."""
    return CreateStudy.model_validate_json(text)


def definitions(session: Session, study_ids: Iterable[int]) -> dict[int, CreateStudy]:
    """The definitions of these studies by their ids."""
    return {row.id: parsed(row.text) for row in _TEXTS.rows(session, {"p_ids": sorted(set(study_ids))})}
