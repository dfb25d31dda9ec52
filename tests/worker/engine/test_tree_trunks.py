"""Trunks that are kept: a trial that comes later begins from the longest, and tells what it would tell alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lane_jobs import CPU, curves, job, train
from numpy.typing import NDArray

from schedules.presets import REGISTRY
from worker.engine import Diverged, Event, Job, Points, Snapshot, Started, Tree
from worker.tasks import Classification, Model
from worker.tasks.digits import DIGITS
from worker.tasks.models import mlp
from worker.trunks import TrunkFolder, size

Engine = Callable[..., Tree]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    def make(*, budget: int = 2**24, least_s: float = 0.0, dtype: torch.dtype | None = None) -> Tree:
        return Tree(CPU, dtype=dtype, trunks=TrunkFolder(tmp_path / "trunks", budget, least_s=least_s))

    return make


def wsd(number: int, decay: int, *, steps: int = 60, **changes: object) -> Job:
    schedule = REGISTRY["wsd"].build(lr=0.05, decay=f"{decay} steps")
    return replace(job(), id=number, schedule=schedule, steps=steps, report_every=7, **changes)  # type: ignore[arg-type]


def told(events: list[Event]) -> list[Event]:
    """All but what depends on the clock and on the engine."""
    return [
        replace(event, device_seconds=0.0) if hasattr(event, "device_seconds") else event
        for event in events
        if not isinstance(event, Started)
    ]


LATE = wsd(3, 25)


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_a_late_trial_begins_where_its_trunk_ends_and_tells_every_point(engine: Engine, dtype: torch.dtype) -> None:
    train(engine(dtype=dtype), wsd(1, 10), wsd(2, 34))
    late = engine(dtype=dtype)
    events = train(late, LATE)
    assert told(events) == told(train(Tree(CPU, dtype=dtype), LATE))
    # The others parted after step 27; the stable phase of the first ended at 51, too late for this one.
    assert late.row_steps == 60 - 27
    assert isinstance(events[0], Started)
    assert events[0].engine == "tree"


def test_the_end_of_a_stable_phase_is_kept_though_nobody_forks_there(engine: Engine) -> None:
    train(engine(), wsd(1, 30))
    late = engine()
    assert told(train(late, LATE)) == told(train(Tree(CPU), LATE))
    assert late.row_steps == 60 - 31


def test_a_longer_budget_goes_on_from_the_end_of_a_shorter_one(engine: Engine) -> None:
    short, long = (replace(LATE, schedule=REGISTRY["constant"].build(lr=0.05), steps=steps) for steps in (40, 60))
    train(engine(), short, replace(short, id=9))
    late = engine()
    found = train(late, long, wsd(5, 8))
    assert curves(found)[3] == curves(train(Tree(CPU), long))[3]
    assert late.row_steps < 60


def test_the_very_same_trial_is_not_trained_again(engine: Engine) -> None:
    train(engine(), LATE, replace(LATE, id=7))
    late = engine()
    assert told(train(late, LATE)) == told(train(Tree(CPU), LATE))
    assert late.row_steps == 0


def test_late_trials_share_what_lies_behind_their_trunk(engine: Engine) -> None:
    train(engine(), wsd(1, 10), wsd(2, 40))
    late = engine()
    given = [wsd(3, 25), wsd(4, 25), wsd(5, 20)]
    assert curves(train(late, *given)) == curves(train(Tree(CPU), *given))
    assert late.row_steps == (60 - 21) + (60 - 36)


class Spiked(TrunkFolder):
    """Trunks with a loss so high that who looks more often than the others calls it divergence."""

    def longest(self, origin: str, numbers: NDArray[np.float64]) -> Snapshot | None:
        trunk = super().longest(origin, numbers)
        assert trunk is not None
        trunk.tensors["losses"][8] = 1e6
        return trunk


def test_a_trial_that_would_have_diverged_in_its_trunk_diverges_there(engine: Engine, tmp_path: Path) -> None:
    train(engine(), wsd(1, 10), wsd(2, 34))
    late = Tree(CPU, trunks=Spiked(tmp_path / "trunks", 2**24))
    *points, last = told(train(late, LATE))
    assert [event.step for event in points if isinstance(event, Points)] == [7, 14]
    assert isinstance(last, Diverged)
    assert (last.step, late.row_steps) == (14, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"batch_size": 32},
        {"label_smoothing": 0.0},
        {"task": Classification(DIGITS, Model("mlp", lambda signature: torch.nn.Sequential(mlp(signature), Half())))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_trunk_of_another_origin_is_not_used(engine: Engine, change: dict[str, object]) -> None:
    train(engine(), wsd(1, 10), wsd(2, 34))
    late = engine()
    other = replace(LATE, **change)  # type: ignore[arg-type]
    assert told(train(late, other)) == told(train(Tree(CPU), other))
    assert late.row_steps == 60


def test_damaged_trunks_are_removed_and_trained_again(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(engine(), wsd(1, 10), wsd(2, 34))
    for path in (tmp_path / "trunks").glob("*.trunk"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    late = engine()
    assert told(train(late, LATE)) == told(train(Tree(CPU), LATE))
    assert late.row_steps == 60
    assert "it is damaged" in caplog.text


def test_the_least_recently_used_go_when_the_budget_is_full(engine: Engine, tmp_path: Path) -> None:
    train(engine(), wsd(1, 10), wsd(2, 34))
    files = sorted((tmp_path / "trunks").glob("*.trunk"), key=lambda path: path.name)
    one = max(path.stat().st_size for path in files)
    for age, path in enumerate(files):
        os.utime(path, (age, age))
    train(engine(budget=2 * one + 1), wsd(1, 10, seed=4))
    left = list((tmp_path / "trunks").glob("*.trunk"))
    assert sum(path.stat().st_size for path in left) <= 2 * one + 1
    assert files[0] not in left


def test_what_is_cheap_to_compute_is_not_kept(engine: Engine, tmp_path: Path) -> None:
    train(engine(least_s=60.0), wsd(1, 10), wsd(2, 34))
    assert not list((tmp_path / "trunks").iterdir())


def test_a_folder_that_cannot_take_a_trunk_costs_no_trial(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    made = engine()
    (tmp_path / "trunks").rmdir()
    assert curves(train(made, LATE)) == curves(train(Tree(CPU), LATE))
    assert "cannot be kept" in caplog.text


def test_sizes_are_read_and_refused_in_words() -> None:
    assert [size("2GiB"), size("1.5 MiB"), size("10KiB")] == [2**31, 3 * 2**19, 10_240]
    with pytest.raises(ValueError, match=r"^keep-trunks: need a size such as 500MiB or 2GiB, got '2 GB'$"):
        size("2 GB")


class Half(torch.nn.Module):
    def forward(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs / 2
