"""What only a GPU can run. Skipped elsewhere: written and never run, until a run here says otherwise."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from lane_jobs import Curve, curves, gap, job, train

from worker.engine import Augmentation, Engine, Job, Lanes, Solo, Tree
from worker.engine.lanes.recording import cuda_graph
from worker.engine.lanes.room import room

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

CUDA = torch.device("cuda", 0)


def study(model: str, count: int = 4, **changes: object) -> list[Job]:
    return [job(lane, model=model, steps=24, augmentation=changes.get("augmentation")) for lane in range(count)]


@cache
def plain(model: str, dtype: torch.dtype | None) -> dict[int, Curve]:
    return curves(train(Solo(CUDA, dtype=dtype), *study(model)))


def furthest(engine: Engine, model: str, dtype: torch.dtype | None = None) -> float:
    found = curves(train(engine, *study(model)))
    return max(gap(curve, found[number]) for number, curve in plain(model, dtype).items())


@pytest.mark.parametrize("model", ["mlp", "cnn", "dropout", "vit_small"])
@pytest.mark.parametrize("maker", [Lanes, Tree])
def test_in_float64_lanes_equal_solo(model: str, maker: type[Lanes]) -> None:
    assert furthest(maker(CUDA, dtype=torch.float64), model, torch.float64) < 1e-11


@pytest.mark.parametrize("model", ["mlp", "cnn", "vit_small"])
def test_a_graph_does_what_the_update_does(model: str) -> None:
    assert furthest(Lanes(CUDA, dtype=torch.float64, record=cuda_graph), model, torch.float64) < 1e-11


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_images_are_those_of_the_cpu(precision: str) -> None:
    wanted = Augmentation(crop=2, flip=True, cutout=3)
    given = job(model="cnn", steps=8, augmentation=wanted, precision=precision)
    here, there = (curves(train(Solo(device), given))[1] for device in (CUDA, torch.device("cpu")))
    assert gap(here, there) < (1e-2 if precision == "float32" else 0.2)


def test_what_does_not_fit_goes_on_in_fewer_lanes() -> None:
    given = study("cnn", 16)
    plenty = curves(train(Lanes(CUDA, lanes=16), *given))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(CUDA).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(CUDA) + 24 * 2**20) / total, CUDA)
    try:
        squeezed = curves(train(Lanes(CUDA, lanes=16), *given))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, CUDA)
    assert squeezed.keys() == plenty.keys()
    assert max(gap(plenty[number], squeezed[number]) for number in plenty) < 1e-2


def test_memory_says_for_how_many_lanes_there_is_room() -> None:
    def train_some(lanes: int) -> None:
        torch.ones(lanes * 2**22, device=CUDA).add_(1)

    found = room(CUDA, train_some)
    assert found is not None
    assert 0.7 * torch.cuda.mem_get_info(CUDA)[0] < found * 2**24 < 0.9 * torch.cuda.mem_get_info(CUDA)[0]
