"""The schema: revisions lead to the models, and a database of another age is met with care."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, text

from service import migrate
from service.app import create_app
from service.database import Database
from service.errors import StartupError
from service.settings import Settings


def test_the_revisions_build_exactly_the_models(database: Database) -> None:
    with database.writer.connect() as connection:
        command.check(migrate.configuration(connection))


def test_every_revision_can_be_undone(database: Database) -> None:
    with database.writer.begin() as connection:
        command.downgrade(migrate.configuration(connection), "base")
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}


def test_migrating_twice_changes_nothing(database: Database) -> None:
    migrate.upgrade(database)
    with database.writer.connect() as connection:
        before = migrate.revision(connection)
    migrate.upgrade(database)
    with database.writer.connect() as connection:
        assert migrate.revision(connection) == before is not None


def test_a_database_of_a_newer_version_is_refused_with_the_mend(database: Database, database_url: str) -> None:
    with database.write() as session:
        session.execute(text("update alembic_version set version_num = 'ffffffffffff'"))
    with pytest.raises(StartupError, match=r"ffffffffffff.*Upgrade Switchback"):
        create_app(Settings(database=database_url))


def test_a_database_file_in_a_missing_folder_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="folder must exist"):
        create_app(Settings(database=f"sqlite:///{tmp_path}/nowhere/switchback.db"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only files")
def test_a_read_only_database_file_is_refused_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "switchback.db"
    sqlite3.connect(path).close()
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    with pytest.raises(StartupError, match="must be writable"):
        create_app(Settings(database=f"sqlite:///{path}"))


@pytest.mark.parametrize("url", ["mysql://localhost/db", "nonsense", "sqlite"])
def test_a_database_url_of_no_use_is_refused_by_name_and_value(url: str) -> None:
    with pytest.raises(ValueError, match="database: must be"):
        Settings(database=url)
