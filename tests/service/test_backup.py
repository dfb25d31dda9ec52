"""A backup taken while the service runs is the whole of what was acknowledged, and comes back only where it may."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from desk import Desk
from postgres import PostgresServer
from processes import Service
from sqlalchemy import select, text

from service import artifacts, backup, migrate
from service.artifact_store import Folder
from service.database import Database
from service.errors import StartupError
from service.models import Artifact, Pulse, Trial
from service.settings import Settings


@pytest.fixture
def settings(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    if database_url.startswith("postgresql"):
        server: PostgresServer = request.getfixturevalue("postgres")
        request.getfixturevalue("monkeypatch").setenv("PATH", str(server.bin))
    return Settings(database=database_url, artifacts=str(tmp_path / "artifacts"))


def keep(desk: Desk, folder: Path, data: bytes) -> str:
    """A trial under way with a checkpoint; the file's key."""
    desk.create(cells=2)
    ref = desk.ref(desk.claim()[0])
    upload = artifacts.Upload(Folder(folder), size=len(data), digest=sha256(data).hexdigest())
    upload.write(data)
    upload.finish()
    with desk.database.write() as session:
        artifacts.record(session, ref, "checkpoint", upload, step=1, now=desk.now, expires=desk.now)
    return upload.key


def test_what_was_backed_up_comes_back_with_its_files(desk: Desk, settings: Settings, tmp_path: Path) -> None:
    key = keep(desk, tmp_path / "artifacts", b"weights")
    backup.save(settings, tmp_path / "saved")
    assert backup.save_files(settings, tmp_path / "saved") == (1, 0)
    with desk.database.write() as session:
        session.execute(text("delete from studies"))
    desk.database.close()
    (tmp_path / "artifacts" / key).unlink()
    backup.restore(settings, tmp_path / "saved")
    assert backup.restore_files(settings, tmp_path / "saved") == 1
    with migrate.opened(settings) as database, database.read() as session:
        assert session.scalars(select(Trial.status).order_by(Trial.id)).all() == ["leased", "queued"]
        assert session.scalars(select(Artifact.key)).all() == [key]
    assert (tmp_path / "artifacts" / key).read_bytes() == b"weights"


def test_a_backup_is_never_written_over(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("precious")
    with pytest.raises(StartupError, match="exists already"):
        backup.save(settings, tmp_path / "saved")
    assert (tmp_path / "saved").read_text() == "precious"


def test_a_postgresql_database_in_use_is_not_restored_over(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(postgres.bin))
    postgres.create("in_use", template="template_switchback")
    settings = Settings(database=postgres.url("in_use"), artifacts=str(tmp_path))
    database = Database(settings)
    backup.save(settings, tmp_path / "saved")
    with database.write() as session:
        session.add(Pulse(id=1, beat_at=database.now(session)))
    with pytest.raises(StartupError, match="stop it first"):
        backup.restore(settings, tmp_path / "saved")
    with database.write() as session:
        session.execute(Pulse.__table__.update().values(beat_at=database.now(session) - timedelta(minutes=5)))
    database.close()
    backup.restore(settings, tmp_path / "saved")


def test_without_postgresqls_programs_the_command_to_run_is_told_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Settings(database="postgresql://me:secret@db.example:5433/runs")
    with pytest.raises(StartupError, match=r"PGHOST=db.example.*pg_dump --format=custom") as refused:
        backup.save(settings, tmp_path / "saved")
    assert "secret" not in str(refused.value)


@pytest.fixture
def file(sqlite_template: Path, tmp_path: Path) -> Settings:
    (tmp_path / "switchback.db").write_bytes(sqlite_template.read_bytes())
    return Settings(database=f"sqlite:///{tmp_path}/switchback.db", artifacts=str(tmp_path / "artifacts"))


def test_a_running_service_can_be_backed_up_but_not_restored_over_nor_doubled(file: Settings, tmp_path: Path) -> None:
    with Service(file.database, tmp_path) as running:
        backup.save(file, tmp_path / "saved")
        with pytest.raises(StartupError, match="served by another process"):
            backup.restore(file, tmp_path / "saved")
        with pytest.raises(StartupError, match="served by another process"):
            Database(file).hold()
        running.kill()
        former = backup.restore(file, tmp_path / "saved")
        assert former is not None
        assert former.exists()


DAMAGE = {
    "no database": (lambda path: path.write_bytes(b"no database" * 500), "no backup of Switchback"),
    "another program's": (lambda path: _run(path, "drop table alembic_version"), "no backup of Switchback"),
    "newer": (lambda path: _run(path, "update alembic_version set version_num = 'f'"), "newer Switchback"),
    "dangling rows": (
        lambda path: _run(path, "insert into token_projects (token_id, project) values (7, 'p')"),
        "is damaged",
    ),
    "a torn page": (
        lambda path: path.write_bytes(path.read_bytes()[: 4096 * 3] + b"\xff" * 8192 + path.read_bytes()[4096 * 5 :]),
        "is damaged|no backup",
    ),
}


def _run(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_backup_that_is_not_sound_is_refused_and_the_database_left_alone(
    file: Settings, tmp_path: Path, damage: str
) -> None:
    backup.save(file, tmp_path / "saved")
    spoil, why = DAMAGE[damage]
    spoil(tmp_path / "saved")
    before = (tmp_path / "switchback.db").read_bytes()
    with pytest.raises(StartupError, match=why):
        backup.restore(file, tmp_path / "saved")
    assert (tmp_path / "switchback.db").read_bytes() == before
