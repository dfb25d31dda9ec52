"""A SQLite database is a file of one service process: holding it, and whether this SQLite library is a sound one."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from sqlalchemy.engine import URL

from service.errors import StartupError

FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""Since these versions, and in their patch releases, a checkpoint no longer loses what is being written meanwhile."""


def path_of(url: URL) -> Path | None:
    """The database's file; None where it is no file, or no SQLite."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name.removeprefix("file:").startswith(":memory:"):
        return None
    return Path(name.removeprefix("file:"))


class FileHold:
    """The right to serve one file, kept until it is released or the process ends, however it ends.

    A lock of the operating system on a file beside it. It is the process's: two applications in one process share it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None
        try:
            descriptor = os.open(path.with_name(f"{path.name}-service"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return  # a folder that cannot be written to is refused, in better words, when the database is opened
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StartupError(
                f"{path} is being served by another process, and SQLite serves one: stop that one, or use PostgreSQL, "
                "which serves many."
            ) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def unsound(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> str | None:
    """What is wrong with a version of the SQLite library, and what is done about it."""
    newest = version >= FIXED[0]
    if newest or any(version[:2] == fixed[:2] and version >= fixed for fixed in FIXED):
        return None
    return (
        f"SQLite {'.'.join(map(str, version))} can lose a write that meets a checkpoint of its log (fixed in 3.51.3, "
        "3.50.7 and 3.44.6). Switchback keeps them apart by writing through one connection; let no other program write "
        "to the file while the service runs, or use a newer Python or PostgreSQL."
    )
