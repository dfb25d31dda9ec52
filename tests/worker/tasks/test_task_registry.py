"""Which tasks a worker offers, and what it says of those it cannot take."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import torch

from worker.tasks import Registry, TaskError, assemble
from worker.tasks import registry as module

OWN = """
from worker.tasks import Model
from worker.tasks.models import mlp
from worker.tasks.classification import Classification
from worker.tasks.digits import DIGITS

WIDE = Model("wide", mlp)

class Mine(Classification):
    key = "own/net"
    def __init__(self):
        super().__init__(DIGITS, WIDE)

class Lacking:
    key = "own/lacking"
    def data(self): ...

class Misnamed(Mine):
    key = "no slash"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module with tasks of a user's own."""
    (tmp_path / "own_tasks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_tasks", raising=False)
    return "own_tasks"


def test_the_built_in_tasks_are_every_dataset_with_every_model() -> None:
    assert {"digits/mlp", "digits/cnn"} <= set(assemble().tasks())


@pytest.mark.parametrize("key", ["digits/mlp", "digits/cnn"])
def test_every_built_in_model_maps_a_batch_to_one_score_per_class(key: str) -> None:
    task = assemble().task(key)
    assert task.model()(task.data().train.inputs[:5]).shape == (5, 10)


def test_metrics_are_sums_over_the_examples() -> None:
    task = assemble().task("digits/mlp")
    scores = torch.eye(10)[[1, 2, 3]] * 50
    assert task.metrics(scores, torch.tensor([1, 2, 9]))["accuracy"].item() == 2


def test_a_model_of_ones_own_goes_with_every_dataset(own: str) -> None:
    assert "digits/wide" in assemble([f"{own}:WIDE"]).tasks()


def test_a_task_class_of_ones_own_is_made_and_registered_by_its_key(own: str) -> None:
    assert assemble([f"{own}:Mine"]).task("own/net").key == "own/net"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Lacking", "has no model, loss, metrics"),
        ("Misnamed", "got the key 'no slash'"),
        ("Absent", "has no 'Absent'"),
    ],
)
def test_what_is_not_a_task_is_refused_saying_what_it_lacks(own: str, name: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        assemble([f"{own}:{name}"])


@pytest.mark.parametrize(("path", "said"), [("digits", "need package.module:name"), ("no.such:x", "cannot import")])
def test_a_path_that_names_nothing_is_refused(path: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        assemble([path])


def test_an_installed_package_adds_tasks_through_its_entry_point(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints([EntryPoint("mine", f"{own}:Mine", module.GROUP)])
    monkeypatch.setattr(module, "entry_points", lambda group: points.select(group=group))
    assert "own/net" in assemble().tasks()


def test_a_name_is_registered_once() -> None:
    registry = assemble()
    with pytest.raises(TaskError, match="'digits' is registered already"):
        registry.add(module.DIGITS, origin="test")


def test_an_unknown_task_is_refused_naming_the_closest_there_are() -> None:
    with pytest.raises(TaskError, match="got 'digits/vit'; did you mean digits/vit_small"):
        assemble().task("digits/vit")


def test_an_empty_registry_offers_nothing() -> None:
    assert not Registry().tasks()
