"""Answers as they leave the real server: in one piece, whole, in order, and quietly where nobody waits for them."""

from __future__ import annotations

import logging
import shutil
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from listening import exchange, listening

from service.app import create_app
from service.settings import Settings


@pytest.fixture(scope="module")
def port(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("served") / "switchback.db")
    with listening(create_app(Settings(database=f"sqlite:///{path}"))) as number:
        yield number


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


@pytest.mark.skipif(sys.platform != "linux", reason="counts packets as Linux tells them")
def test_the_head_and_the_body_of_an_answer_leave_as_one_packet(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for answered in range(1, 20):
            connection.sendall(get("/healthz"))
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(65_536)
            assert packets(connection) == answered


def packets(connection: socket.socket) -> int:
    """Packets with content that have come: `tcpi_data_segs_in` of linux/tcp.h."""
    (count,) = struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 152)
    return int(count)


def test_a_large_answer_after_which_the_connection_closes_arrives_whole(port: int) -> None:
    head, _, body = exchange(port, get("/api/v1/openapi.json", "Connection: close")).partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    assert len(body) == length > 65_536


def test_requests_sent_at_once_are_answered_in_their_order(port: int) -> None:
    paths = ["/healthz", "/api/v1/nothing", "/healthz"]
    answer = exchange(port, b"".join(get(path) for path in paths[:-1]) + get(paths[-1], "Connection: close"))
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]


def test_who_hangs_up_before_the_answer_leaves_no_error(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                connection.sendall(get("/api/v1/studies"))
        assert exchange(port, get("/healthz", "Connection: close")).startswith(b"HTTP/1.1 200")
    assert caplog.text == ""
