"""The real service and real agents, each in a thread of the test process; the database survives a restart."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import uvicorn

from client.leases import LeaseClient
from client.studies import StudyClient
from contract.leases import LeaseRef, WorkerInfo
from contract.studies import CreateStudy
from service.app import create_app
from service.settings import Settings as ServiceSettings
from worker.agent import Agent, Settings
from worker.cache import Cache
from worker.engine import Solo
from worker.tasks import Classification, Model, Registry, assemble
from worker.tasks.digits import DIGITS
from worker.tasks.models import mlp


class LiveService:
    """The application under uvicorn on one port, which a restart takes again."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        config = uvicorn.Config(
            create_app(self.settings), host="127.0.0.1", port=self._port, log_level="warning", lifespan="on"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server is not None and self._server.started)

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=15)
        self._server = None


@contextmanager
def serving(template: Path, folder: Path, **settings: Any) -> Iterator[LiveService]:
    """A running service over a copy of the migrated file, with settings of the test's choice."""
    path = folder / "live.db"
    path.write_bytes(template.read_bytes())
    service = LiveService(ServiceSettings(database=f"sqlite:///{path}", idle_retry_s=0.1, **settings))
    service.start()
    try:
        yield service
    finally:
        service.stop()


def wait_until(holds: Callable[[], object], timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def study(**changes: Any) -> CreateStudy:
    """A grid of two constant rates on digits, changed as asked."""
    base: dict[str, Any] = {
        "name": "two rates",
        "task": {"dataset": "digits", "model": "mlp"},
        "budget": {"epochs": 2},
        "space": {"schedules": ["constant"], "lr": {"choice": [0.05, 0.1]}},
        "search": {"method": "grid"},
    }
    return CreateStudy.model_validate(base | changes)


def submit(service: LiveService, **changes: Any) -> int:
    with StudyClient(service.url) as client:
        return client.create(study(**changes)).id


def worker_info(name: str = "worker-a", registry: Registry | None = None) -> WorkerInfo:
    tasks = sorted((registry or assemble()).tasks())
    return WorkerInfo(id=f"{name}-00000000", name=name, device="cpu", version="1", tasks=tasks)


def slow(seconds: float) -> Registry:
    """The digits task `digits/slow`, whose every batch takes so long."""

    class Slow(Classification):
        def loss(self, *args: Any, **options: Any) -> Any:
            time.sleep(seconds)
            return super().loss(*args, **options)

    registry = assemble()
    registry.add(Slow(DIGITS, Model("slow", mlp)), origin="test")
    return registry


class AgentThread:
    """An agent at work in a thread; `result` is what its run returned."""

    def __init__(self, service: LiveService, *, name: str = "worker-a", **settings: Any) -> None:
        registry = settings.pop("registry", None) or assemble()
        self.client = LeaseClient(service.url, timeout_s=5.0)
        self.agent = Agent(
            self.client,
            worker_info(name, registry),
            engine=settings.pop("engine", None) or Solo(torch.device("cpu")),
            registry=registry,
            cache=Cache(settings.pop("cache", None) or Path(os.environ["SWITCHBACK_CACHE"])),
            settings=Settings(**settings),
        )
        self.result: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.result = self.agent.run()

    def __enter__(self) -> AgentThread:
        self._thread.start()
        return self

    def lease_refs(self) -> list[LeaseRef]:
        """The leases it holds, secrets included."""
        assert self.agent._shift is not None
        return self.agent._shift.leases

    def join(self, timeout_s: float = 30.0) -> None:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), "the agent did not end"

    def __exit__(self, *error: object) -> None:
        self.agent.cut()
        self.join()
        self.client.close()
