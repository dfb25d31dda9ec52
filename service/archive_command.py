"""`switchback archive`: thin old curves by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from service.archive import archive as thin
from service.commands import DatabaseOption, refusing, settings_of
from service.migrate import opened
from service.settings import DEFAULT_DATABASE


def archive(
    older_than: Annotated[
        float, typer.Option("--older-than", min=0, max=36_500, metavar="DAYS", help="Days since a study ended.")
    ],
    database: DatabaseOption = DEFAULT_DATABASE,
) -> None:
    """Thin the curves of studies that ended long ago; results and the shape of the curves stay.

    On SQLite the service must be stopped; while it runs, `switchback serve --retain-curves DAYS` does the same.
    """
    with refusing(), opened(settings_of(database=database), alone=True) as found:
        with found.read() as session:
            before = found.now(session) - timedelta(days=older_than)
        count = thin(found, before=before)
        found.compact()
    typer.echo(f"thinned the curves of {count} studies")
