"""A process that stores a checkpoint and dies on the way; `python dying_upload.py DATABASE FOLDER LEASE` dies at each
point in turn, one forked child for each, and prints how each ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy.orm import Session

from contract.leases import LeaseRef
from service import artifact_store, artifacts
from service.artifact_store import Folder
from service.database import Database
from service.settings import Settings

NEW = b"new checkpoint" * 1_000
DIED = 9


def dying(call: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    """The call, and the end of the process before or after it."""

    def last(*given: Any, **named: Any) -> None:
        if not before:
            call(*given, **named)
        os._exit(DIED)

    return last


# where, what is patched, and whether death comes before or after it
POINTS: dict[str, tuple[Any, str, bool]] = {
    "half of the temporary file": (artifacts.Upload, "finish", True),
    "before the fsync": (artifact_store.os, "fsync", True),
    "after the fsync, before the hash is compared": (artifact_store._StagedFile, "seal", False),
    "before the rename": (artifact_store.Path, "rename", True),
    "after the rename, before the row": (artifact_store._StagedFile, "publish", False),
    "the row written, before the commit": (Session, "commit", True),
    "after the commit, before the answer": (Session, "commit", False),
    "never": (sys, "exit", True),
}


def store(database: Database, folder: str, ref: LeaseRef) -> None:
    upload = artifacts.Upload(Folder(artifact_store.Path(folder)), size=len(NEW), digest=sha256(NEW).hexdigest())
    upload.write(NEW)
    upload.finish()
    now = datetime.now(UTC)
    with database.write() as session:
        artifacts.record(session, ref, "checkpoint", upload, step=20, now=now, expires=now + timedelta(hours=1))


def main(url: str, folder: str, lease: str) -> None:
    ref = LeaseRef.model_validate_json(lease)
    for point, (owner, name, before) in POINTS.items():
        child = os.fork()
        if child == 0:
            setattr(owner, name, dying(getattr(owner, name), before=before))
            store(Database(Settings(database=url)), folder, ref)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(f"{os.waitstatus_to_exitcode(status)} {point}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
