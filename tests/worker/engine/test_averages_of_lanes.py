"""Averages and ensembles of the batched engines: those of `solo`, whoever shares lanes and updates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lane_jobs import CPU, ENGINES, alone, at_rate, curves, gap, job, train
from torch import nn

from schedules import Span
from schedules.presets import REGISTRY
from worker.engine import Checkpointed, Diverged, Ema, Ensemble, Job, Lanes, Started, Steering, Swa, Tree
from worker.engine.averaging_plan import taking
from worker.engine.lanes import rules
from worker.engine.plan import make_plan
from worker.tasks import Classification, Model
from worker.tasks.digits import DIGITS
from worker.trunks import TrunkFolder


def normed(_: object) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(0.2), nn.Linear(64, 10))


TASK = Classification(DIGITS, Model("normed", normed))
AVERAGING = (Swa(start=Span(0.5), every=Span.parse("5 steps")), Ema(0.9), Ensemble(members=2))


def trial(lane: int, preset: str = "sgdr", *, averaging: Any = AVERAGING, steps: int = 32, **numbers: Any) -> Job:
    if preset == "sgdr":
        numbers = {"lr": 0.1 + 0.05 * lane, "first": "10 steps", "t_mult": 1.0} | numbers
    schedule = REGISTRY[preset].build(**({"lr": 0.1} | numbers))
    given = job(0, steps=steps, report_every=7)
    return replace(given, id=lane + 1, task=TASK, schedule=schedule, averaging=averaging)


MIXED = [
    replace(trial(lane, steps=steps), seed=seed)
    for lane, (steps, seed) in enumerate([(32, 0), (17, 0), (25, 1), (32, 1)])
]
DECAYS = [trial(lane, "wsd", decay=f"{steps} steps") for lane, steps in enumerate((6, 9, 9, 14))]


def row_steps(jobs: list[Job]) -> int:
    """Counted in the plainest way: at each step, the number of pasts that differ."""
    pasts: set[bytes] = set()
    for one in jobs:
        plan = make_plan(one, 1078)
        table = np.hstack([rules.table(one.optimizer, plan), taking(one, plan).table])
        pasts |= {table[:step].tobytes() for step in range(1, len(table) + 1)}
    return len(pasts)


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "solo"])
def test_averages_of_trials_of_any_length_and_seed_are_those_of_solo(engine: str) -> None:
    events = train(ENGINES[engine](CPU, lanes=3, dtype=torch.float64), *MIXED)
    assert {event.engine for event in events if isinstance(event, Started)} == {"lanes"}
    assert max(gap(alone(one, torch.float64), curves(events)[one.id]) for one in MIXED) < 1e-12


def test_neither_the_number_of_lanes_nor_a_neighbour_that_is_no_number_changes_a_bit_of_an_average() -> None:
    expected = curves(train(Lanes(CPU, lanes=4), *MIXED))
    wild = replace(at_rate(MIXED[0], 1e18), id=9)
    events = train(Lanes(CPU, lanes=3), wild, *MIXED)
    assert [event.job for event in events if isinstance(event, Diverged)] == [9]
    assert curves(events) == expected
    assert curves(train(Lanes(CPU), MIXED[2])) == {3: expected[3]}


def test_a_tree_shares_training_and_averages_until_either_differs() -> None:
    tree, later = Tree(CPU), [trial(4, "constant", steps=20), trial(5, "constant")]
    found = curves(train(tree, *DECAYS, *later))
    assert found == curves(train(Lanes(CPU), *DECAYS, *later))
    assert tree.row_steps == row_steps([*DECAYS, *later])


@pytest.mark.parametrize(("make", "given"), [(Lanes, MIXED), (Tree, DECAYS)])
def test_trials_with_averages_go_on_from_any_snapshot_bit_for_bit(make: Any, given: list[Job]) -> None:
    events = list(make(CPU, lanes=2).run(given, Steering(checkpoint_every_s=1e-9)))
    expected = curves(events)
    for one, number in zip(given, (0, 1, 2, -1), strict=True):
        saved = [event.snapshot for event in events if isinstance(event, Checkpointed) and event.job == one.id][number]
        others = [replace(other, id=other.id + 10) for other in given if other is not one]
        found = curves(train(make(CPU, lanes=2), *others, replace(one, resume=saved)))
        assert found[one.id] == [point for point in expected[one.id] if point[0] > saved.step]


def test_a_trial_that_begins_from_a_kept_trunk_has_the_averages_it_would_have_had(tmp_path: Path) -> None:
    trunks = TrunkFolder(tmp_path, 2**24, least_s=0.0)
    train(Tree(CPU, trunks=trunks), DECAYS[1], DECAYS[3])
    second = Tree(CPU, trunks=trunks)
    assert curves(train(second, DECAYS[0])) == curves(train(Lanes(CPU), DECAYS[0]))
    assert second.row_steps < 32
