"""One process serves a SQLite file, and an unsound library is told."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from service import sqlite_file
from service.database import Database
from service.errors import StartupError
from service.settings import Settings

HOLD = (
    "import sys, pathlib; from service.sqlite_file import FileHold; FileHold(pathlib.Path(sys.argv[1])); print('held')"
)


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
    ],
)
def test_the_versions_that_can_lose_a_write_are_known(version: tuple[int, int, int], sound: bool) -> None:
    assert (sqlite_file.unsound(version) is None) == sound


def test_a_service_says_at_start_up_that_its_library_is_unsound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite_file, "unsound", lambda: "it is old")
    database = Database(Settings(database=f"sqlite:///{tmp_path}/switchback.db"))
    with caplog.at_level(logging.WARNING):
        database.hold()
    database.close()
    assert "it is old" in caplog.text


def test_a_file_that_is_held_is_refused_to_another_process_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "switchback.db"
    hold = sqlite_file.FileHold(path)
    done = subprocess.run([sys.executable, "-c", HOLD, path], capture_output=True, text=True, check=False)
    assert "served by another process" in done.stderr
    hold.release()
    subprocess.run([sys.executable, "-c", HOLD, path], capture_output=True, text=True, check=True)


def test_a_process_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "switchback.db"
    code = f"{HOLD}; sys.stdout.flush(); import time; time.sleep(60)".replace("FileHold(P", "kept = FileHold(P")
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StartupError, match="served by another process"):
            sqlite_file.FileHold(path)
        other.kill()
    sqlite_file.FileHold(path).release()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://u@h/d"])
def test_what_is_no_file_is_not_held(url: str) -> None:
    assert sqlite_file.path_of(Settings(database=url).url) is None
