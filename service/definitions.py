"""The definitions of studies as stored: read once in the life of the process, for a study never changes its own."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Text, cast, literal

from contract.studies import CreateStudy
from service.models import Study

DEFINITION = cast(Study.definition, Text).label("definition")
"""To be selected for `parsed`."""
RUNS = Study.status == literal("running", literal_execute=True)
"""Whether a study runs or is paused, spelled out like the statuses of trials (`service.moves.has`)."""


@lru_cache(maxsize=1_024)
def parsed(text: str) -> CreateStudy:
    """A definition from its JSON; the text is the key, so no two databases are ever confused."""
    return CreateStudy.model_validate_json(text)
