"""Promise 8: killed at any point of storing a checkpoint, no row names a file that is missing or short."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import dying_upload
from desk import Desk
from sqlalchemy import select

from service import artifacts
from service.artifact_store import Folder
from service.models import Artifact


def whole(desk: Desk, folder: Path) -> bool:
    """Whether every row's file is there and is what the row says."""
    with desk.database.read() as session:
        rows = session.scalars(select(Artifact)).all()
    return all(sha256((folder / row.key).read_bytes()).hexdigest() == row.sha256 for row in rows)


def test_a_process_killed_at_any_point_leaves_rows_with_whole_files_and_orphans_that_go(
    desk: Desk, database_url: str, tmp_path: Path
) -> None:
    desk.now = datetime.now(UTC)
    desk.create(cells=1)
    ref, folder = desk.ref(desk.claim()[0]), tmp_path / "artifacts"
    command = [sys.executable, dying_upload.__file__, database_url, str(folder), ref.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    ended = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert ended == [dying_upload.DIED] * (len(dying_upload.POINTS) - 1) + [0], done.stdout
    assert whole(desk, folder)
    artifacts.collect_orphans(desk.database, Folder(folder), now=datetime.now(UTC) + timedelta(hours=1))
    assert whole(desk, folder)
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1
