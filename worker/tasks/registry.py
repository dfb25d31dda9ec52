"""Which tasks this process can train: built in, from installed packages, and named on the command line."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from worker.tasks import downloads, image_folders, offers, zoo
from worker.tasks.classification import Dataset, Model
from worker.tasks.digits import DIGITS
from worker.tasks.models import CNN, MLP
from worker.tasks.patches import SAMPLE_PATCHES
from worker.tasks.resnet import RESNET20, RESNET38
from worker.tasks.stdlib_chars import STDLIB_CHARS
from worker.tasks.task import Task, TaskError
from worker.tasks.transformers import GPT_SMALL, VIT_SMALL

GROUP = "switchback.tasks"
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")

Item = TypeVar("Item")


class Registry:
    """Tasks by key. Every dataset that is here goes with every model that can read it; a `Task` stands for itself.

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

    def tasks(self, only: Iterable[str] = ()) -> Mapping[str, Task]:
        """All tasks by key; of these, where `only` names any, those that match one of its patterns (`cifar10/*`)."""
        pairs = offers.offered(self._datasets.values(), self._models.values())
        tasks = {task.key: task for task in pairs} | self._tasks
        patterns = tuple(only)
        for pattern in patterns:
            if not any(fnmatchcase(key, pattern) for key in tasks):
                raise TaskError(f"only: need a pattern that matches a task offered here, got {pattern!r}")
        return {key: task for key, task in tasks.items() if not patterns or any(fnmatchcase(key, p) for p in patterns)}

    def refused(self) -> list[offers.Refused]:
        """What is registered and cannot be trained here, with the reasons."""
        return list(offers.refused(self._datasets.values(), self._models.values()))

    def task(self, key: str) -> Task:
        """Raises TaskError, with the reason, when there is no such task here."""
        if key in self._tasks:
            return self._tasks[key]
        name, _, architecture = key.partition("/")
        dataset, model = self._datasets.get(name), self._models.get(architecture)
        if dataset is None or model is None:
            close = get_close_matches(key, self.tasks(), n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise TaskError(f"task: need one that this worker lists with --list-tasks, got {key!r}{hint}")
        if (reason := dataset.missing()) is not None:
            raise TaskError(f"task: {key!r} cannot be trained here: {name} {reason}")
        return offers.pair(dataset, model)


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


def own_tasks(path: str, *, folder: Path | None = None) -> Mapping[str, Task]:
    """The tasks that `path` names; of a model or a dataset alone, those it makes with the built-in ones."""
    own = Registry()
    own.add(load(path), origin=f"task {path!r}")
    if tasks := own.tasks():
        return tasks
    known = assemble(folder=folder).tasks()
    made = {key: task for key, task in assemble([path], folder=folder).tasks().items() if key not in known}
    return {key: task for key, task in made.items() if f"/{zoo.PREFIX}" not in key}


def assemble(paths: Iterable[str] = (), *, folder: Path | None = None) -> Registry:
    """The built-in tasks, those of the entry points `switchback.tasks`, and those at `paths`.

    `folder` is the data folder, where datasets that are not part of an installed package have their files.
    """
    registry = Registry()
    registry.add([DIGITS, SAMPLE_PATCHES, STDLIB_CHARS], origin="built in")
    registry.add([*downloads.datasets(folder), *image_folders.datasets(folder)], origin=f"data folder {folder}")
    registry.add([MLP, CNN, RESNET20, RESNET38, VIT_SMALL, GPT_SMALL, *zoo.ZOO], origin="built in")
    for point in entry_points(group=GROUP):
        registry.add(point.load(), origin=f"entry point {point.name!r}")
    for path in paths:
        registry.add(load(path), origin=f"task {path!r}")
    return registry
