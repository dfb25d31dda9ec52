"""Fixtures of the worker's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from live import LiveService

from service.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As a worker runs: a thread per process, so that parallel tests do not fight."""
    torch.set_num_threads(1)


@pytest.fixture
def service_of(tmp_path: Path, sqlite_template: Path) -> Iterator[Callable[..., LiveService]]:
    """Makes a running service with settings of the test's choice."""
    running: list[LiveService] = []

    def make(**settings: Any) -> LiveService:
        path = tmp_path / "live.db"
        path.write_bytes(sqlite_template.read_bytes())
        service = LiveService(Settings(database=f"sqlite:///{path}", idle_retry_s=0.1, **settings))
        service.start()
        running.append(service)
        return service

    yield make
    for service in running:
        service.stop()


@pytest.fixture
def service(service_of: Callable[..., LiveService]) -> LiveService:
    return service_of()
