"""Memory that runs out under an array: fewer lanes go on where all were, and nothing is lost."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from lane_jobs import CPU, curves, job, train

from schedules.presets import REGISTRY
from worker.engine import Failed, Job, Lanes, Tree
from worker.engine.lanes import engine, room
from worker.engine.memory import is_short
from worker.tasks import Model, assemble
from worker.tasks.classification import Classification

WSD = partial(REGISTRY["wsd"].build, lr=0.05)
WIDE, LANES = 4_096, 16
"""Weights of 16 lanes are 20 MB, and so are moments, gradients and the copies between them."""

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its address space by /proc and rlimit")


def wide(width: int = WIDE) -> Classification:
    digits = assemble().task("digits/mlp")
    assert isinstance(digits, Classification)
    layers = lambda _: torch.nn.Sequential(  # noqa: E731
        torch.nn.Flatten(), torch.nn.Linear(64, width), torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 10)
    )
    return Classification(digits.dataset, Model("wide", layers))


@contextmanager
def at_most(extra: int) -> Iterator[None]:
    """So many bytes of address space more than there are now: what is beyond cannot be allocated."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def study(task: Classification, engine_name: str) -> list[Job]:
    schedules = [WSD(decay=0.2 + 0.05 * (lane % 4)) for lane in range(LANES)]
    given = [job(lane, task=task, steps=6, batch_size=8, report_every=3) for lane in range(LANES)]
    if engine_name == "lanes":
        return given
    return [
        replace(one, schedule=schedule, optimizer=given[number % 8].optimizer)
        for number, (one, schedule) in enumerate(zip(given, schedules, strict=True))
    ]


def squeezed(maker: type[Lanes], name: str) -> tuple[int, int, bool]:
    """With ever less memory until 16 lanes do not fit: lanes then, trials that failed, and whether curves are the same.

    To be called in a process of its own: what earlier trainings have left free is enough for more.
    """
    given, plentiful, short = study(wide(), name), maker(CPU, lanes=LANES), LANES
    plenty = curves(train(plentiful, *given))  # libraries that are loaded now need not be under the limit
    for power in range(20):
        tried = maker(CPU, lanes=LANES)
        with at_most(int(2**26 * 0.8**power)):
            events = train(tried, *given)
        short = min(tried._room.values(), default=LANES)
        if short < LANES:
            break
    return short, sum(isinstance(event, Failed) for event in events), curves(events) == plenty


@linux
@pytest.mark.slow
@pytest.mark.parametrize(("maker", "name"), [(Lanes, "lanes"), (Tree, "tree")])
def test_what_does_not_fit_goes_on_in_fewer_lanes_bit_for_bit(maker: type[Lanes], name: str) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        lanes, failed, same = pool.submit(squeezed, maker, name).result()
    assert 1 <= lanes < LANES
    assert failed == 0
    assert same


@pytest.mark.parametrize(("maker", "after"), [(Lanes, 0), (Lanes, 3), (Tree, 6)])
def test_half_a_round_that_runs_out_of_memory_leaves_no_trace(
    maker: type[Lanes], after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [job(lane, model="cnn", steps=12, report_every=4, optimizer="sgd") for lane in range(4)]
    if maker is Tree:
        given = [replace(one, schedule=WSD(decay=one.id / 8), optimizer=given[0].optimizer) for one in given]
    plenty = curves(train(maker(CPU), *given))
    made, update = [], engine.Array._update

    def starved(array: engine.Array, *arguments: object) -> torch.Tensor:
        losses = update(array, *arguments)  # buffers and parameters have changed by now
        made.append(len(array.rows))
        if len(array.rows) > 2 and len(made) > after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return losses

    monkeypatch.setattr(engine.Array, "_update", starved)
    assert curves(train(maker(CPU), *given)) == plenty
    assert max(made) > 2
    assert max(made[made.index(max(made)) + after % 6 + 1 :]) <= 2


def test_a_job_that_does_not_fit_alone_fails_with_the_reason_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [job(lane, steps=8) for lane in range(3)]
    update = engine.Array._update

    def starved(array: engine.Array, *arguments: object) -> torch.Tensor:
        if any(1 in row.members for row in array.rows):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return update(array, *arguments)

    monkeypatch.setattr(engine.Array, "_update", starved)
    events = train(Lanes(CPU), *given)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.job == 2
    assert failed.error.startswith("out of memory: the trial does not fit, need a smaller batch_size")
    assert set(curves(events)) == {1, 3}


@linux
def test_a_real_shortage_is_known_for_what_it_is() -> None:
    with at_most(2**20), pytest.raises(RuntimeError) as found:
        torch.zeros(2**28)
    assert is_short(found.value)
    assert not is_short(RuntimeError("shapes cannot be multiplied"))


@pytest.mark.parametrize(
    ("free", "few", "more", "lanes"),
    [(1_000, 30, 50, 79), (1_000, 20, 40, 80), (40, 30, 50, 2), (10, 30, 50, 1), (10**9, 5, 5, 800_000_000 - 3)],
)
def test_lanes_fill_four_fifths_of_the_free_memory(free: int, few: int, more: int, lanes: int) -> None:
    assert room.fitting(free, few, more) == lanes
