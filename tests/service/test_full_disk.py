"""A disk that fills up in the middle of a group commit: all of the group are told, and nothing of it is stored."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from service import migrate
from service.database import Database
from service.errors import Overloaded
from service.settings import Settings


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk: no file of this process grows beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def small(session: Session, now: datetime) -> None:
    session.execute(text("insert into small values (1)"))


def large(session: Session, now: datetime) -> None:
    for _ in range(200):
        session.execute(text("insert into small values (randomblob(100000))"))


def test_a_disk_that_fills_up_refuses_the_whole_group_and_acknowledges_none_of_it(tmp_path: Path) -> None:
    database = Database(Settings(database=f"sqlite:///{tmp_path}/full.db"))
    migrate.upgrade(database)
    with database.write() as session:
        session.execute(text("create table small (x)"))
    largest = max(file.stat().st_size for file in tmp_path.iterdir())
    with database.writer.connect() as connection:
        connection.exec_driver_sql("pragma cache_size = 10")  # so that the statement meets the disk, not the commit
    with files_of_at_most(largest + 50_000), pytest.raises(Overloaded):
        database.write_together([(small, ()), (large, ()), (small, ())])
    database.write_together([(small, ())])
    with database.read() as session:
        assert session.scalar(text("select count(*) from small")) == 1
    database.close()
