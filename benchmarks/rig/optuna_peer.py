"""Optuna's storages doing the same work: ask, report one value, tell; `processes` of them on one study."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage

from tests.processes import free_port

NAME = "peer"


def _storage(url: str) -> BaseStorage:
    kind, _, rest = url.partition("+grpc:")
    if kind == "proxy":
        return GrpcStorageProxy(host="127.0.0.1", port=int(rest))
    return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {})


def _work(url: str, seconds: float, done: multiprocessing.queues.Queue[int]) -> None:
    warnings.simplefilter("ignore", ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name=NAME, storage=_storage(url), sampler=RandomSampler())
    count, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        trial = study.ask()
        trial.suggest_float("lr", 1e-5, 1.0, log=True)
        trial.report(1.0, 1)
        study.tell(trial, 0.5)
        count += 1
    done.put(count)


def rate(url: str, *, processes: int, seconds: float) -> float:
    """Trials per second."""
    context = multiprocessing.get_context("spawn")
    done: multiprocessing.queues.Queue[int] = context.Queue()
    workers = [context.Process(target=_work, args=(url, seconds, done)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    total = sum(done.get(timeout=seconds + 120) for _ in workers)
    for worker in workers:
        worker.join()
    return total / seconds


def prepared(url: str) -> str:
    """The URL of a storage with the study in it, durable as it comes."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(study_name=NAME, storage=_storage(url), sampler=RandomSampler())
    return url


_SERVER = (
    "import sys; from optuna.storages import *; run_grpc_proxy_server(RDBStorage(sys.argv[1]), port=int(sys.argv[2]))"
)


@contextmanager
def proxied(url: str) -> Iterator[str]:
    """The same storage behind Optuna's gRPC proxy."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-W", "ignore", "-c", _SERVER, url, str(port)])
    try:
        warnings.simplefilter("ignore", ExperimentalWarning)
        GrpcStorageProxy(host="127.0.0.1", port=port).wait_server_ready(timeout=60)
        yield f"proxy+grpc:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)
