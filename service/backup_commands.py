"""`switchback backup` and `switchback restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service import backup as backups
from service.commands import ArtifactsOption, DatabaseOption, refusing, settings_of
from service.settings import DEFAULT_DATABASE

FilesOption = Annotated[
    bool, typer.Option("--files/--no-files", help="With the checkpoints and models, in FILE.artifacts.")
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it must not be there yet.")],
    database: DatabaseOption = DEFAULT_DATABASE,
    artifacts: ArtifactsOption = None,
    files: FilesOption = True,
) -> None:
    """Write a backup, while the service runs or not: the database, and the files of trials beside it."""
    settings = settings_of(database=database, artifacts=artifacts)
    with refusing():
        backups.save(settings, file)
        if files:
            copied, gone = backups.save_files(settings, file)
            note = f", {gone} superseded meanwhile" if gone else ""
            typer.echo(f"{file}, and {copied} files in {backups.files_of(file)}{note}")
        else:
            typer.echo(f"{file}; the files in {settings.artifact_address} are not in it")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup; its FILE.artifacts is restored with it.")],
    database: DatabaseOption = DEFAULT_DATABASE,
    artifacts: ArtifactsOption = None,
    files: FilesOption = True,
) -> None:
    """Put a backup in the place of the database. The service must be stopped; it brings the schema up to date."""
    settings = settings_of(database=database, artifacts=artifacts)
    with refusing():
        former = backups.restore(settings, file)
        count = backups.restore_files(settings, file) if files else 0
    typer.echo(f"restored {file} and {count} files" + (f"; what was there is in {former}" if former else ""))
