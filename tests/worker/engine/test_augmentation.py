"""What is done to training images: the same for every engine, and for none of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from lane_jobs import CPU, ENGINES, alone, at_rate, curves, gap, job, train
from torch import Tensor

from schedules import Span
from schedules.presets import REGISTRY
from worker.engine import Augmentation, Failed, Lanes, Points, Resizing, Solo, Started, Tree
from worker.engine.augment import DRAWS, Augment, sizes
from worker.engine.lanes.likeness import alike, told
from worker.engine.plan import Horizon, PlanError, epoch_luck

EVERYTHING = Augmentation(crop=2, flip=True, cutout=3)
HORIZON = Horizon(total_steps=10, steps_per_epoch=5, report_every=5)


def one_by_one(images: Tensor, luck: Tensor, wanted: Augmentation) -> Tensor:
    """The same by hand, image after image: padded, cut, turned round, and a square painted over."""
    made = []
    height, width = images.shape[-2:]
    for image, (down, right, side, above, left) in zip(images.numpy(), (luck / 2**24).tolist(), strict=True):
        wide = np.pad(image, ((0, 0), *((wanted.crop, wanted.crop),) * 2), mode="reflect")
        row, column = (int(part * (2 * wanted.crop + 1)) for part in (down, right))
        shifted = wide[:, row : row + height, column : column + width].copy()
        if side < 0.5:
            shifted = wide[:, row : row + height, column : column + width][:, :, ::-1].copy()
        top, start = (int(part * size) - wanted.cutout // 2 for part, size in ((above, height), (left, width)))
        shifted[:, max(0, top) : top + wanted.cutout, max(0, start) : start + wanted.cutout] = 0
        made.append(torch.from_numpy(shifted))
    return torch.stack(made)


@pytest.mark.parametrize("shape", [(40, 3, 8, 8), (40, 1, 5, 9)])
def test_all_images_at_once_are_what_each_is_by_hand(shape: tuple[int, ...]) -> None:
    images, luck = torch.rand(shape, generator=torch.Generator().manual_seed(0)), epoch_luck(0, 0, shape[0], DRAWS)
    batched = Augment(EVERYTHING, images, HORIZON)(images, luck, shape[-2])
    assert torch.equal(batched, one_by_one(images, luck, EVERYTHING))
    assert len({image.numpy().tobytes() for image in batched}) == shape[0]


def test_luck_is_spread_evenly_and_is_another_for_each_seed_and_epoch() -> None:
    first = epoch_luck(3, 0, 20_000, DRAWS)
    assert torch.equal(first, epoch_luck(3, 0, 20_000, DRAWS))
    assert not any(torch.equal(first, epoch_luck(*place, 20_000, DRAWS)) for place in ((3, 1), (4, 0)))
    shares = torch.bincount((first * 9 // 2**24).flatten(), minlength=9) / first.numel()
    assert float((shares - 1 / 9).abs().max()) < 0.005


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "solo"])
@pytest.mark.parametrize("seeds", [1, 2])
def test_every_engine_trains_on_the_images_that_solo_trains_on(engine: str, seeds: int) -> None:
    given = [job(lane, model="dropout", steps=12, seed=lane % seeds, augmentation=EVERYTHING) for lane in range(3)]
    events = train(ENGINES[engine](CPU, dtype=torch.float64), *given)
    assert {event.engine for event in events if isinstance(event, Started)} == {"lanes"}
    assert max(gap(alone(one, torch.float64), curves(events)[one.id]) for one in given) < 1e-12


@pytest.mark.parametrize("engine", ["solo", "lanes"])
def test_only_training_sees_them(engine: str) -> None:
    still = at_rate(job(steps=10), 1e-30)
    points = curves(train(ENGINES[engine](CPU), still, replace(still, id=2, augmentation=EVERYTHING)))
    (plain, changed) = (points[number][-1][1] for number in (1, 2))
    assert plain["val_loss"] == changed["val_loss"]
    assert plain["test_loss"] == changed["test_loss"]
    assert plain["train_loss"] != changed["train_loss"]


def test_trials_with_other_augmentation_share_nothing() -> None:
    one, other = (job(augmentation=Augmentation(crop=pixels)) for pixels in (1, 2))
    assert one.fingerprint != other.fingerprint
    assert told(one) != told(other)
    assert not alike(one, other)
    growing = Augmentation(resizing=Resizing())
    short, long = (job(steps=steps, augmentation=growing) for steps in (20, 30))
    assert told(short) != told(long)


def test_images_grow_over_the_horizon_in_multiples() -> None:
    horizon = Horizon(total_steps=20, steps_per_epoch=5, report_every=5)
    wanted = Resizing(initial=0.5, start=Span(0.2), end=Span(3, "epochs"), multiple=4)
    assert sizes(wanted, 32, horizon).tolist() == [16] * 7 + [20] * 3 + [24] * 3 + [28] * 2 + [32] * 5
    jump = Resizing(initial=0.5, start=Span(0.5), end=Span(0.5))
    assert sizes(jump, 8, horizon).tolist() == [4] * 10 + [8] * 10


def test_a_convolutional_model_learns_on_images_that_grow() -> None:
    growing = Augmentation(flip=True, resizing=Resizing(multiple=1))
    given = job(model="cnn", steps=24, schedule="constant", augmentation=growing)
    events = train(Solo(CPU), given)
    losses = [event.values["train_loss"] for event in events if isinstance(event, Points)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("maker", [Lanes, Tree])
def test_lanes_whose_images_are_larger_wait_for_the_others(maker: type[Lanes]) -> None:
    growing = Augmentation(crop=1, resizing=Resizing(multiple=1))
    given = [
        job(0, id=part, model="cnn", schedule="wsd", steps=12, report_every=3, augmentation=growing, seed=part // 3)
        for part in range(5)
    ]
    given = [replace(one, schedule=REGISTRY["wsd"].build(lr=0.05, decay=0.2 + 0.1 * one.id)) for one in given]
    events = train(maker(CPU, lanes=2, dtype=torch.float64), *given)
    assert "solo" not in {event.engine for event in events if isinstance(event, Started)}
    assert max(gap(alone(one, torch.float64), curves(events)[one.id]) for one in given) < 1e-12


@pytest.mark.parametrize(
    ("model", "wanted", "said"),
    [
        ("mlp", Augmentation(resizing=Resizing()), "reads images of every size, but at 4 x 4 pixels it raises"),
        ("gpt_small", Augmentation(flip=True), "need images [channels, height, width] to train on, got int64 [64]"),
        ("cnn", Augmentation(crop=8), "augmentation.crop: need less than the sides 8 x 8, got 8"),
        ("cnn", Augmentation(resizing=Resizing(multiple=5)), "multiple: need at most 0.5 of the images' height 8"),
    ],
)
@pytest.mark.parametrize("engine", [Solo, Lanes])
def test_what_does_not_go_with_the_task_fails_with_the_rule(
    engine: Any, model: str, wanted: Augmentation, said: str
) -> None:
    (event,) = train(engine(CPU), job(model=model, augmentation=wanted))
    assert isinstance(event, Failed)
    assert said in event.error
    assert "Traceback" not in event.error


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(PlanError, match=r"resizing\.end: need no less than start, got 1 epochs after 80%"):
        sizes(Resizing(start=Span(0.8), end=Span(1, "epochs")), 8, HORIZON)
