"""Convolutions read images channels_last: in which order they come, and that nothing but time shows it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import pytest
import torch
from lane_jobs import CPU, ENGINES, alone, curves, gap, job, lanes, train
from torch import Tensor, nn
from torch.nn import functional

from worker.engine import Finished, Job, Lanes, Solo, Steering
from worker.engine.channels_last import SIDE, laid
from worker.engine.training import Training
from worker.tasks import Classification, Data, Dataset, Model, Signature, Split, Task
from worker.tasks.models import CNN
from worker.tasks.resnet import RESNET20

SHAPES = {"grey": (1, 16, 16), "colour": (3, 20, 18)}
KNOWN = {"cnn": (CNN, 16, 6), "resnet20": (RESNET20, 8, 3)}
"""Model, batch size, and updates."""


def noise(shape: tuple[int, ...]) -> Data:
    generator = torch.Generator().manual_seed(1)

    def split(rows: int) -> Split:
        labels = torch.randint(10, (rows,), generator=generator)
        return Split(torch.rand(rows, *shape, generator=generator), labels)

    return Data(split(64), split(30), split(30))


@cache
def task(model: Model, shape: tuple[int, ...]) -> Classification:
    return Classification(Dataset("noise", Signature(shape, 10), partial(noise, shape)), model)


def pictures(lane: int, model: str, shape: tuple[int, ...], **changes: Any) -> Job:
    known, batch_size, steps = KNOWN[model]
    return job(lane, task=task(known, shape), batch_size=batch_size, **({"steps": steps} | changes))


def channels_last(images: Tensor) -> bool:
    """As torch's kernels judge; of one channel `is_contiguous` says yes to either order."""
    return images.stride()[1:] == (1, images.shape[3] * images.shape[1], images.shape[1])


class Seen(NamedTuple):
    """What convolutions have read, and its gradients: those that flow on, of a residual block the sum of both ways."""

    read: list[Tensor]
    gradients: list[Tensor]

    def clear(self) -> None:
        self.read.clear()
        self.gradients.clear()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen, convolve = Seen([], []), functional.conv2d

    def spied(images: Tensor, *args: Any, **options: Any) -> Tensor:
        seen.read.append(images)
        if images.requires_grad:
            images.register_hook(seen.gradients.append)
        return convolve(images, *args, **options)

    monkeypatch.setattr(functional, "conv2d", spied)
    return seen


@pytest.mark.parametrize("shape", [(4, 1, SIDE, SIDE), (4, 3, SIDE, 28), (1, 1, 28, SIDE)])
def test_a_convolution_of_images_laid_out_gives_the_same_numbers_in_that_order(shape: tuple[int, ...]) -> None:
    images, weights = torch.rand(shape, dtype=torch.float64), torch.rand(5, shape[1], 3, 3, dtype=torch.float64)
    plain, found = functional.conv2d(images, weights), functional.conv2d(laid(images), weights)
    assert torch.equal(laid(images), images)
    assert (channels_last(plain), channels_last(found)) == (False, True)
    assert torch.allclose(plain, found, rtol=1e-12)


@pytest.mark.parametrize("shape", [(4, 3, SIDE - 1, 28), (4, 3, 28, SIDE - 1), (4, 64), (4, 12, 64)])
def test_small_images_and_what_is_no_image_stay_as_they_are(shape: tuple[int, ...]) -> None:
    values = torch.rand(shape)
    assert laid(values) is values


@pytest.mark.parametrize("engine", ["solo", "lanes"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", KNOWN)
def test_every_convolution_reads_channels_last_in_training_and_evaluation(
    seen: Seen, model: str, shape: str, engine: str
) -> None:
    trains = ENGINES[engine](CPU)
    given = [pictures(lane, model, SHAPES[shape], steps=1, seed=lane // 2) for lane in range(3)]
    train(trains, given[0])  # which has tried the model as it comes
    seen.clear()
    train(trains, *given[:2])  # on one batch
    train(trains, *given)  # on a batch each
    assert {channels_last(images) for images in seen.read} == {True}


@pytest.mark.parametrize("model", KNOWN)
def test_what_lies_between_the_convolutions_of_lanes_keeps_the_order_in_the_gradients_too(
    seen: Seen, model: str
) -> None:
    trains, given = Lanes(CPU), [pictures(lane, model, SHAPES["colour"], steps=1) for lane in range(3)]
    train(trains, given[0])
    seen.clear()
    train(trains, *given)
    assert len(seen.gradients) >= 2
    assert {channels_last(gradient) for gradient in seen.gradients} == {True}


@pytest.mark.parametrize("engine", ["solo", "lanes"])
def test_smaller_images_are_read_as_they_come(seen: Seen, engine: str) -> None:
    train(ENGINES[engine](CPU), pictures(0, "cnn", (3, SIDE - 1, SIDE - 1), steps=1))
    assert {(channels_last(images), images.is_contiguous()) for images in seen.read} == {(False, True)}


CASES = [
    pytest.param(model, name, count, engine, marks=[] if (model, count) == ("cnn", 4) else pytest.mark.slow)
    for model in KNOWN
    for name in SHAPES
    for count in (1, 4, 32)
    for engine in ("lanes", "vmap", "tree")
]


@pytest.mark.parametrize(("model", "shape", "count", "engine"), CASES)
def test_in_float64_lanes_equal_solo(model: str, shape: str, count: int, engine: str) -> None:
    given = [pictures(lane, model, SHAPES[shape]) for lane in range(count)]
    found = curves(train(ENGINES[engine](CPU, lanes=64, dtype=torch.float64), *given))
    asked = {given[0], given[count // 2], given[-1]}
    assert max(gap(alone(one, torch.float64), found[one.id]) for one in asked) < 1e-12


@pytest.mark.parametrize("count", [1, 3, *(pytest.param(count, marks=pytest.mark.slow) for count in (2, 8, 32))])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", ["cnn", pytest.param("resnet20", marks=pytest.mark.slow)])
def test_the_number_of_lanes_changes_no_bit_of_a_lane(model: str, shape: str, count: int) -> None:
    four = lanes(*(pictures(lane, model, SHAPES[shape], steps=3) for lane in range(4)))
    other = lanes(*(pictures(lane, model, SHAPES[shape], steps=3) for lane in range(count)))
    shared = four.keys() & other.keys()
    assert {lane: four[lane] for lane in shared} == {lane: other[lane] for lane in shared}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", ["cnn", pytest.param("resnet20", marks=pytest.mark.slow)])
def test_neighbours_elsewhere_in_the_data_change_no_bit_of_a_lane(model: str, shape: str) -> None:
    given = [pictures(lane, model, SHAPES[shape]) for lane in range(3)]
    found = lanes(*given, *(replace(one, id=one.id + 3, seed=one.id) for one in given))
    assert {one.id: found[one.id] for one in given} == lanes(*given)


def test_in_float32_lanes_are_as_near_to_solo_as_float32_is_to_float64() -> None:
    given = [pictures(lane, "cnn", SHAPES["colour"]) for lane in range(4)]
    found = lanes(*given)
    floor = max(gap(alone(one), alone(one, torch.float64)) for one in given)
    assert 0 < floor < 1e-3
    assert max(gap(alone(one), found[one.id]) for one in given) <= 4 * floor


class Viewing(nn.Module):
    """A forward of one's own that insists on the usual order."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 18 * 16, 10)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.convolution(images)
        scores: Tensor = self.head(features.view(len(images), -1))
        return scores


class Dense(nn.Module):
    """Its outputs are images, whose order a loss would see."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 10, (20, 17))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.convolution(images)
        return scores


class Pixels(Classification):
    """A class for each of two pixels, by a loss that insists on the usual order."""

    def loss(self, outputs: Tensor, targets: Tensor, *, label_smoothing: float) -> Tensor:
        return functional.cross_entropy(outputs.view(len(targets), 20)[:, ::2], targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return super().metrics(outputs.view(len(targets), 20)[:, ::2], targets)


def of_ones_own(module: type[nn.Module]) -> Task:
    made = task(Model("own", lambda _: module()), SHAPES["colour"])
    return Pixels(made.dataset, made.architecture) if module is Dense else made


@pytest.mark.parametrize("module", [Viewing, Dense])
def test_a_model_or_a_loss_that_insists_on_the_usual_order_is_trained_in_it(
    seen: Seen, module: type[nn.Module]
) -> None:
    own = of_ones_own(module)
    train(Solo(CPU), job(task=own, steps=1))  # which tries it first
    seen.clear()
    *_, last = train(Solo(CPU), job(task=own, steps=2))
    assert isinstance(last, Finished)
    assert {images.is_contiguous() for images in seen.read} == {True}


def test_parameters_in_a_checkpoint_lie_in_the_usual_order() -> None:
    training = Training(pictures(0, "resnet20", SHAPES["colour"]), CPU, Steering())
    training.advance(1)
    tensors = training.snapshot().tensors
    assert any(tensor.dim() == 4 for tensor in tensors.values())
    assert all(tensor.is_contiguous() for tensor in tensors.values())
