"""Optuna driving an ordinary loop: one process per core, a shared journal, every trial enqueued."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.peers.recipe import Recipe, prepare, train

NAME = "peer"


class OptunaProcesses:
    """The processes are up and have torch loaded before the first study."""

    def __init__(self, processes: int) -> None:
        self._count = processes
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start)

    def run(self, recipes: Sequence[Recipe]) -> tuple[float, dict[int, float]]:
        """Seconds from the study's creation to its last result, and the validation losses."""
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "journal")
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            start = time.perf_counter()
            study = optuna.create_study(study_name=NAME, storage=JournalStorage(JournalFileBackend(path)))
            for number in range(len(recipes)):
                study.enqueue_trial({"number": number})
            shares = [len(recipes[part :: self._count]) for part in range(self._count)]
            jobs = [self._pool.submit(_optimize, path, list(recipes), share) for share in shares]
            for job in jobs:
                job.result()
            seconds = time.perf_counter() - start
            return seconds, {trial.params["number"]: trial.value for trial in study.trials if trial.value is not None}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()


def _start() -> None:
    prepare()
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _optimize(path: str, recipes: list[Recipe], count: int) -> None:
    study = optuna.load_study(study_name=NAME, storage=JournalStorage(JournalFileBackend(path)))
    study.optimize(lambda trial: train(recipes[trial.suggest_int("number", 0, len(recipes) - 1)]), n_trials=count)
