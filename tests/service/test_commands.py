"""`switchback serve` as a user starts it: what it refuses to start with, and that it says the mend."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest
from processes import serve

from service.app import create_app
from service.errors import StartupError
from service.settings import Settings


def test_a_port_that_is_taken_is_refused_by_number_with_the_mend(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = serve("--port", str(port), "--database", f"sqlite:///{tmp_path}/switchback.db")
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "--port 0" in done.stderr


def test_a_lease_that_never_lasts_is_refused_by_option(tmp_path: Path) -> None:
    done = serve("--lease-ttl", "0", "--database", f"sqlite:///{tmp_path}/switchback.db")
    assert (done.returncode, "--lease-ttl" in done.stderr) == (2, True)


def test_a_database_opened_read_only_is_refused_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "switchback.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table unrelated (id integer)")
    connection.close()
    with pytest.raises(StartupError, match="must be writable"):
        create_app(Settings(database=f"sqlite:///file:{path}?mode=ro&uri=true"))
