"""Which tasks this process can train: built in, from installed packages, and named on the command line."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from itertools import product
from typing import TypeVar

from worker.tasks.classification import Classification, Dataset, Model
from worker.tasks.digits import DIGITS
from worker.tasks.models import CNN, MLP
from worker.tasks.task import Task

GROUP = "switchback.tasks"
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")

Item = TypeVar("Item")


class TaskError(ValueError):
    """A task, dataset or model that cannot be registered, or that is not registered."""


class Registry:
    """Tasks by key. Every dataset goes with every model; a `Task` stands for itself.

    What is added may be a `Dataset`, a `Model`, a `Task`, a class that makes one of them, or a list of these.
    """

    def __init__(self) -> None:
        self._datasets: dict[str, Dataset] = {}
        self._models: dict[str, Model] = {}
        self._tasks: dict[str, Task] = {}

    def add(self, item: object, *, origin: str) -> None:
        """Register `item`; `origin` says in errors where it came from. Raises TaskError when its name is taken."""
        item = item() if inspect.isclass(item) else item
        if isinstance(item, list | tuple):
            for part in item:
                self.add(part, origin=origin)
        elif isinstance(item, Dataset):
            _put(self._datasets, item.name, item, origin)
        elif isinstance(item, Model):
            _put(self._models, item.name, item, origin)
        else:
            task = _as_task(item, origin)
            _put(self._tasks, task.key, task, origin)

    def tasks(self) -> Mapping[str, Task]:
        """All tasks by key."""
        pairs = (Classification(*pair) for pair in product(self._datasets.values(), self._models.values()))
        return {task.key: task for task in pairs} | self._tasks

    def task(self, key: str) -> Task:
        tasks = self.tasks()
        if key not in tasks:
            raise TaskError(f"task: need one of {', '.join(sorted(tasks))}, got {key!r}")
        return tasks[key]


def _put(table: dict[str, Item], name: str, item: Item, origin: str) -> None:
    if name in table:
        raise TaskError(f"{origin}: the name {name!r} is registered already")
    table[name] = item


def _as_task(item: object, origin: str) -> Task:
    rule = "a task needs a key 'dataset/model' and data(), model(), loss(), metrics()"
    if not isinstance(item, Task):
        missing = [
            name
            for name in ("__hash__", "key", "data", "model", "loss", "metrics")
            if getattr(item, name, None) is None
        ]
        raise TaskError(f"{origin}: {rule}; {item!r} has no {', '.join(missing)}")
    if not KEY.fullmatch(item.key):
        raise TaskError(f"{origin}: {rule}; got the key {item.key!r}")
    return item


def load(path: str) -> object:
    """The object `package.module:name` names."""
    module, _, name = path.partition(":")
    if not module or not name:
        raise TaskError(f"task: need package.module:name, got {path!r}")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise TaskError(f"task {path!r}: cannot import {module!r}: {error}") from error
    if not hasattr(found, name):
        raise TaskError(f"task {path!r}: module {module!r} has no {name!r}")
    return getattr(found, name)


def assemble(paths: Iterable[str] = ()) -> Registry:
    """The built-in tasks, those of the entry points `switchback.tasks`, and those at `paths`."""
    registry = Registry()
    registry.add([DIGITS, MLP, CNN], origin="built in")
    for point in entry_points(group=GROUP):
        registry.add(point.load(), origin=f"entry point {point.name!r}")
    for path in paths:
        registry.add(load(path), origin=f"task {path!r}")
    return registry
