"""Fixtures of the worker's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from live import LiveService


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As a worker runs: a thread per process, so that parallel tests do not fight."""
    import torch  # here, and `live` below: every process loads this file, pytest's own and those that train nothing

    torch.set_num_threads(1)


@pytest.fixture
def service_of(tmp_path: Path, sqlite_template: Path) -> Iterator[Callable[..., LiveService]]:
    """Makes a running service with settings of the test's choice."""
    from live import serving

    with ExitStack() as running:
        yield lambda **settings: running.enter_context(serving(sqlite_template, tmp_path, **settings))


@pytest.fixture
def service(service_of: Callable[..., LiveService]) -> LiveService:
    return service_of()
