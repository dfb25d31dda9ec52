"""Artifacts: which files a trial has, how one comes in, and which ones nobody wants any more.

A file goes through five points, in this order: written aside, fsynced, its SHA-256 compared, shown under its key, and
only then named by a row, in the same transaction as the fence. So a row never names a file that is missing or short;
what a fault leaves behind is a file without a row, which the sweep finds. Every upload has a key of its own, so that
removing one file can never hurt another of the same content.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from contract.artifacts import CHECKPOINT, ArtifactView
from contract.leases import LeaseRef
from service.artifact_store import ArtifactStore
from service.database import Database
from service.errors import InvalidRequest, LeaseLost, NotFound, QuotaExceeded, TooLarge
from service.models import Artifact, Trial
from service.moves import HELD, fence, renew
from service.settings import Settings

ORPHANED_AFTER = timedelta(minutes=30)
"""No upload takes this long between its last written byte and its row."""
BATCH = 500


class Upload:
    """One file on its way in, of a size and SHA-256 said beforehand."""

    def __init__(self, store: ArtifactStore, *, size: int, digest: str) -> None:
        self.key = f"{digest[:2]}/{digest}-{secrets.token_hex(8)}"
        self.size = size
        self.digest = digest
        self._hash = sha256()
        self._seen = 0
        self._staged = store.stage(self.key)

    def write(self, data: bytes) -> None:
        """Take the next bytes; more than were said are refused."""
        self._seen += len(data)
        if self._seen > self.size:
            raise InvalidRequest(f"Content-Length: the body goes past the {self.size} bytes it was said to have")
        self._hash.update(data)
        self._staged.write(data)

    def finish(self) -> None:
        """The file is durable, is what it was said to be, and is there under its key."""
        self._staged.seal()
        if self._seen != self.size:
            raise InvalidRequest(f"Content-Length: must be the body's size, got {self.size} for {self._seen} bytes")
        if self._hash.hexdigest() != self.digest:
            raise InvalidRequest(f"Repr-Digest: must be the body's SHA-256, got {self.digest} (hexadecimal)")
        self._staged.publish()

    def discard(self) -> None:
        """Take the file back."""
        self._staged.discard()


def check_lease(session: Session, ref: LeaseRef) -> int:
    """The study of the trial, or `LeaseLost`."""
    study_id = session.scalar(select(Trial.study_id).where(HELD), fence(ref))
    if study_id is None:
        raise LeaseLost([(ref.trial_id, ref.attempt)])
    return study_id


def admit(session: Session, ref: LeaseRef, name: str, *, size: int, settings: Settings) -> None:
    """Refuse, before a byte is read, what could not be stored anyway: a stale lease, a file too large."""
    study_id = check_lease(session, ref)
    if not 0 < size <= settings.artifact_bytes:
        raise TooLarge(f"an artifact must have 1 to {settings.artifact_bytes} bytes, got {size}")
    others = select(func.coalesce(func.sum(Artifact.size), 0)).join(Trial).where(Trial.study_id == study_id)
    others = others.where(or_(Artifact.trial_id != ref.trial_id, Artifact.name != name))
    kept = session.scalar(others) or 0
    if kept + size > settings.artifact_quota:
        raise QuotaExceeded(
            f"study {study_id} keeps {kept} bytes of artifacts and may keep {settings.artifact_quota}; "
            f"{size} more are too many"
        )


def record(
    session: Session, ref: LeaseRef, name: str, upload: Upload, *, step: int, now: datetime, expires: datetime
) -> tuple[ArtifactView, str | None]:
    """Name the file in a row, if the lease is still the trial's; the row, and the key of the file it supersedes.

    A request that arrives late, after the same attempt has sent a later step, changes nothing: it supersedes itself.
    """
    if not renew(session, [ref], expires=expires):
        raise LeaseLost([(ref.trial_id, ref.attempt)])
    row = session.get(Artifact, (ref.trial_id, name))
    if row is not None and (row.attempt, row.step) > (ref.attempt, step):
        return view(row), upload.key
    superseded = None if row is None else row.key
    if row is None:
        row = Artifact(trial_id=ref.trial_id, name=name)
        session.add(row)
    row.attempt, row.step, row.created_at = ref.attempt, step, now
    row.size, row.sha256, row.key = upload.size, upload.digest, upload.key
    session.flush()
    return view(row), superseded


def view(row: Artifact) -> ArtifactView:
    """The row as the wire shows it."""
    return ArtifactView(**{name: getattr(row, name) for name in ArtifactView.model_fields})


def listing(session: Session, trial_id: int) -> list[ArtifactView]:
    """What a trial has, by name."""
    if session.scalar(select(Trial.id).where(Trial.id == trial_id)) is None:
        raise NotFound(f"there is no trial {trial_id}")
    rows = session.scalars(select(Artifact).where(Artifact.trial_id == trial_id).order_by(Artifact.name))
    return [view(row) for row in rows]


def find(session: Session, trial_id: int, name: str) -> Artifact:
    """The row of one artifact, or `NotFound`."""
    named = select(Artifact).join(Trial).where(Artifact.trial_id == trial_id, Artifact.name == name)
    row = session.scalar(named)  # through the trial, which a session of other projects does not see
    if row is None:
        raise NotFound(f"trial {trial_id} has no artifact {name!r}")
    return row


def collect_checkpoints(database: Database, store: ArtifactStore) -> int:
    """Drop the checkpoints of trials that have ended, rows first; how many."""
    with database.write() as session:
        over = select(Artifact.key).join(Trial).where(Artifact.name == CHECKPOINT, Trial.finished_at.is_not(None))
        keys = session.scalars(over.limit(BATCH)).all()
        session.execute(delete(Artifact).where(Artifact.key.in_(keys)))
    for key in keys:
        store.delete(key)
    return len(keys)


def collect_orphans(database: Database, store: ArtifactStore, *, now: datetime) -> int:
    """Remove the files that no row names and that nobody is still sending; how many. `now` is the store's clock."""
    keys = list(store.older_than(now - ORPHANED_AFTER))
    found = 0
    for start in range(0, len(keys), BATCH):
        some = keys[start : start + BATCH]
        with database.read() as session:
            named = set(session.scalars(select(Artifact.key).where(Artifact.key.in_(some))))
        for key in some:
            if key not in named:
                store.delete(key)
                found += 1
    return found
