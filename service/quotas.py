"""How much a project may have at a time."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.errors import QuotaExceeded
from service.line import has
from service.models import Study, Trial
from service.settings import Settings


def check(session: Session, project: str, settings: Settings) -> None:
    """Whether the project may start one more study; `QuotaExceeded` says what it has too many of."""
    own = (Study.project == project, Study.status == "running")
    studies = session.scalar(select(func.count(Study.id)).where(*own)) or 0
    if studies >= settings.live_studies:
        raise QuotaExceeded(
            f"project {project!r} may have {settings.live_studies} running studies, and has {studies}; stop one"
        )
    queued = select(Trial.id).join(Study).where(*own, has("queued")).limit(settings.queued_trials)
    if (session.scalar(select(func.count()).select_from(queued.subquery())) or 0) >= settings.queued_trials:
        raise QuotaExceeded(f"project {project!r} may have {settings.queued_trials} trials waiting; wait or stop some")
