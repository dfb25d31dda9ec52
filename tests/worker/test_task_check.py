"""`switchback check-task`: what it says of good tasks and of bad ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from torch import Tensor, nn
from typer.testing import CliRunner

from worker import commands
from worker.check import check
from worker.tasks import Classification, Data, Split, assemble
from worker.tasks.digits import DIGITS
from worker.tasks.models import MLP


class Good(Classification):
    """Digits, where nothing is wrong; the bad tasks change one thing."""

    def __init__(self) -> None:
        super().__init__(DIGITS, MLP)


class Unseeded(Good):
    def model(self) -> nn.Module:
        generator = torch.Generator()
        generator.seed()
        model = super().model()
        nn.init.normal_(next(model.parameters()), generator=generator)
        return model


class Squeezed(Good):
    def model(self) -> nn.Module:
        return nn.Sequential(super().model(), nn.Flatten(0))


class Paired(Good):
    def model(self) -> nn.Module:
        class Two(nn.Module):
            def forward(self, images: Tensor) -> Any:
                return images, images

        return Two()


class Mixing(Good):
    def model(self) -> nn.Module:
        class Centred(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images - images.mean(dim=0)

        return nn.Sequential(Centred(), super().model())


class Frozen(Good):
    def model(self) -> nn.Module:
        return super().model().requires_grad_(False)


class Summed(Good):
    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets, reduction="sum")


class Detached(Good):
    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        return super().loss(outputs, targets, label_smoothing=label_smoothing).detach()


class PerExample(Good):
    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets, reduction="none")


class Infinite(Good):
    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        return super().loss(outputs, targets, label_smoothing=label_smoothing) / 0


class Averaged(Good):
    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {name: value / len(targets) for name, value in super().metrics(outputs, targets).items()}


class Lossless(Good):
    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"accuracy": super().metrics(outputs, targets)["accuracy"]}


class Plain(Good):
    def metrics(self, outputs: Tensor, targets: Tensor) -> Any:
        return {name: value.item() for name, value in super().metrics(outputs, targets).items()}


class Reshuffled(Good):
    def data(self) -> Data:
        given = super().data()
        order = torch.randperm(len(given.train))
        return Data(Split(given.train.inputs[order], given.train.targets[order]), given.validation, given.test)


class Unlike(Good):
    def data(self) -> Data:
        given = super().data()
        return Data(given.train, Split(given.validation.inputs.flatten(1), given.validation.targets), given.test)


class Holed(Good):
    def data(self) -> Data:
        given = super().data()
        inputs = given.train.inputs.clone()
        inputs[5] = torch.nan
        return Data(Split(inputs, given.train.targets), given.validation, given.test)


class Raising(Good):
    def data(self) -> Data:
        raise FileNotFoundError("no such file: images.npy")


class Restless(Good):
    """Noise of its own in every loss."""

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        generator = torch.Generator()
        generator.seed()
        return super().loss(outputs + torch.rand(outputs.shape, generator=generator), targets, label_smoothing=0.0)


@pytest.mark.parametrize("key", ["digits/cnn", "digits/resnet20", "digits/vit_small", "stdlib_chars/gpt_small"])
def test_nothing_is_wrong_with_what_is_built_in(key: str) -> None:
    findings = list(check(assemble().task(key)))
    assert [finding.wrong for finding in findings] == [None] * 7
    assert findings[-1].looked_at == "many trials train at once, as lanes (batched by layers)"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Unseeded, "model(): not the same after torch.manual_seed(0) twice"),
        (Squeezed, "model(): need one row of output per example, got shape [80] for 8 examples"),
        (Paired, "model(): its forward must return one tensor, got tuple"),
        (Mixing, "model(): in eval() an example's output depends on the others in its batch"),
        (Frozen, "model(): there is no parameter to train"),
        (Summed, "loss(): need the mean over the batch, got the sum over 8 examples"),
        (Detached, "loss(): no gradient: it was detached"),
        (PerExample, "loss(): need a tensor without dimensions, got shape [8]"),
        (Infinite, "loss(): need a finite number at the first step, got inf"),
        (Averaged, "metrics(): loss must be a sum over the examples"),
        (Lossless, "metrics(): need 'loss' among them, got accuracy"),
        (Plain, "metrics(): loss must be a tensor without dimensions, got float"),
        (Reshuffled, "data(): a second call gives other training data"),
        (Unlike, "data(): need examples of one shape: [1, 8, 8] in train, but [64] in validation"),
        (Holed, "data(): the inputs of train hold NaN or infinity"),
        (Raising, "it raised FileNotFoundError: no such file: images.npy (test_task_check.py, line "),
        (Restless, "training: two runs with one seed differ"),
    ],
)
def test_what_is_wrong_is_said_in_words(bad: Callable[[], Good], said: str) -> None:
    *_, last = check(bad())
    assert said in (last.wrong or "nothing")


def told(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(commands.check_task)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `checked` with a good task, a bad one, and a model alone."""
    (tmp_path / "checked.py").write_text(
        "from test_task_check import Averaged, Good\n"
        "from worker.tasks import Model\nfrom worker.tasks.models import mlp\n"
        "WIDE = Model('wide', mlp)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "test_task_check", sys.modules[__name__])
    monkeypatch.delitem(sys.modules, "checked", raising=False)


@pytest.mark.usefixtures("mine")
def test_the_command_ends_with_0_for_a_good_task_and_with_1_for_a_bad_one() -> None:
    assert told("checked:Good")[0] == 0
    code, said = told("checked:Averaged")
    assert (code, "WRONG" in said) == (1, True)


@pytest.mark.usefixtures("mine")
def test_a_model_alone_is_checked_with_every_dataset_it_reads() -> None:
    code, said = told("checked:WIDE")
    assert code == 0
    assert [line for line in said.splitlines() if "/" in line] == ["digits/wide", "sample_patches/wide"]


def test_a_path_that_names_nothing_is_refused() -> None:
    assert told("nowhere:Task") == (
        2,
        "error: task 'nowhere:Task': cannot import 'nowhere': No module named 'nowhere'\n",
    )


class Single(Good):
    """A model that computes in float32 whatever it is given."""

    def model(self) -> nn.Module:
        return nn.Sequential(ToFloat32(), super().model())


class ToFloat32(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.float()


def test_a_model_that_cannot_be_compared_in_float64_is_left_to_solo_and_is_no_fault() -> None:
    *_, last = check(Single())
    assert last.wrong is None
    assert last.looked_at.startswith("trials train one at a time, by solo: ")
