"""Backup and restore: one file for the database, and beside it a folder with the files its rows name.

SQLite is copied by its own backup API while the service runs; for PostgreSQL its own pg_dump and pg_restore are run.
Files of artifacts never change, so that copying those a backup names needs no pause either.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import URL

from service import migrate, sqlite_file
from service.artifact_store import CHUNK, open_store
from service.database import Database
from service.errors import StartupError
from service.models import Artifact, Pulse
from service.settings import Settings
from service.sqlite_file import FileHold

PG_FORMAT = "--format=custom"
ALIVE = timedelta(seconds=30)
"""A service on PostgreSQL that beat within this time is taken to be running."""


def files_of(backup: Path) -> Path:
    """Where the files of artifacts of a backup lie."""
    return backup.with_name(f"{backup.name}.artifacts")


def save(settings: Settings, to: Path) -> None:
    """Write the database to a file that is not there yet; it appears whole or not at all."""
    if to.exists():
        raise StartupError(f"{to} exists already; a backup is never written over")
    part = to.with_name(f"{to.name}.part")
    part.unlink(missing_ok=True)
    source = sqlite_file.path_of(settings.url)
    try:
        if source is None:
            _run(["pg_dump", PG_FORMAT, "--no-owner", "--file", str(part)], settings.url)
        else:
            _copy(_existing(source), part)
        _durable(part)
        part.rename(to)
    finally:
        part.unlink(missing_ok=True)


def save_files(settings: Settings, to: Path) -> tuple[int, int]:
    """Copy the files that the database names now; how many, and how many were gone by then."""
    store, folder = open_store(settings.artifact_address), files_of(to)
    copied = gone = 0
    for key in _keys(settings):
        target = folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as file:
                file.writelines(store.read(key))
            copied += 1
        except FileNotFoundError:  # a checkpoint that was superseded meanwhile
            target.unlink()
            gone += 1
    return copied, gone


def restore(settings: Settings, backup: Path) -> Path | None:
    """Put a backup in the database's place, after every check; where the former SQLite database was put, if any.

    Refuses while a service runs, a damaged backup, and one of a newer version.
    """
    target = sqlite_file.path_of(settings.url)
    if not backup.is_file():
        raise StartupError(f"there is no backup {backup}")
    if target is None:
        _restore_postgres(settings, backup)
        return None
    hold = FileHold(target)
    try:
        _check(backup)
        return _replace(target, backup)
    finally:
        hold.release()


def restore_files(settings: Settings, backup: Path) -> int:
    """Put the backup's files where the service keeps them; how many. Those that are there already are the same."""
    store, folder, count = open_store(settings.artifact_address), files_of(backup), 0
    for path in sorted(folder.glob("*/*")):
        staged = store.stage(path.relative_to(folder).as_posix())
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                staged.write(data)
        staged.seal()
        staged.publish()
        count += 1
    return count


def _replace(target: Path, backup: Path) -> Path | None:
    former = None
    if target.exists():
        former = target.with_name(f"{target.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        _copy(target, former)
    part = target.with_name(f"{target.name}.part")
    _copy(backup, part)
    _durable(part)
    for suffix in ("-wal", "-shm"):  # of the former database: its content is in the copy
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    part.rename(target)
    return former


def _check(backup: Path) -> None:
    try:
        with closing(sqlite3.connect(f"file:{backup}?mode=ro", uri=True)) as connection:
            found = connection.execute("pragma integrity_check").fetchone()[0]
            broken = connection.execute("pragma foreign_key_check").fetchone()
            revision = connection.execute("select version_num from alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise StartupError(f"{backup} is no backup of Switchback: {error}") from error
    if found != "ok" or broken:
        raise StartupError(f"{backup} is damaged: {found if found != 'ok' else 'rows refer to rows that are missing'}")
    if revision is None or revision[0] not in migrate.revisions():
        raise StartupError(f"{backup} was made by a newer Switchback; upgrade Switchback first")


def _copy(source: Path, to: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(to)) as new:
        old.backup(new)
        new.execute("pragma journal_mode=delete")  # one file, with no log of its own beside it


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise StartupError(f"there is no database {path}")
    return path


def _durable(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _keys(settings: Settings) -> list[str]:
    database = Database(settings)
    try:
        with database.read() as session:
            return list(session.scalars(select(Artifact.key).order_by(Artifact.key)))
    finally:
        database.close()


def _restore_postgres(settings: Settings, backup: Path) -> None:
    database = Database(settings)
    try:
        with migrate.readable(database) as session:
            beat = None if session is None else session.scalar(select(Pulse.beat_at))
            if session is not None and beat is not None and database.now(session) - beat < ALIVE:
                raise StartupError(f"a service has used this database {ALIVE.seconds} s ago or less; stop it first")
    finally:
        database.close()
    options = ["--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error"]
    _run(["pg_restore", *options, "--dbname", settings.url.database or "", str(backup)], settings.url)


def _run(command: list[str], url: URL) -> None:
    """One of PostgreSQL's own programs; the password is handed over where no process list shows it."""
    program = shutil.which(command[0])
    places = {"PGHOST": url.host, "PGPORT": url.port, "PGUSER": url.username, "PGDATABASE": url.database}
    secret = {} if url.password is None else {"PGPASSWORD": str(url.password)}
    given = {name: str(value) for name, value in places.items() if value is not None}
    if program is None:
        shown = " ".join([*(f"{name}={value}" for name, value in given.items()), *command])
        raise StartupError(f"{command[0]} is not installed here; where it is, run: {shown}")
    done = subprocess.run(
        [program, *command[1:]], env=os.environ | given | secret, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StartupError(f"{command[0]} failed: {done.stderr.strip()}")
