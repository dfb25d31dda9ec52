"""The engine `tree`: what trials share is computed once, and each still tells what it would tell alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from lane_jobs import CPU, alone, at_rate, curves, dropped, gap, job, train

from schedules import Join, Schedule, Span
from schedules.presets import REGISTRY
from worker.engine import (
    Checkpointed,
    Diverged,
    Finished,
    Job,
    Lanes,
    OptimizerNumbers,
    Points,
    Started,
    Steering,
    Tree,
)
from worker.engine.lanes import rules
from worker.engine.plan import make_plan

SGD = OptimizerNumbers(momentum=0.9, nesterov=True)
ADAM = OptimizerNumbers(name="adamw", weight_decay=0.01)
DECAYS = ["10 steps", "18 steps", "26 steps", "26 steps", "34 steps"]
NUMBERS = count(1)


def trial(preset: str, *, lr: float = 0.05, optimizer: OptimizerNumbers = SGD, **changes: Any) -> Job:
    """`changes`: of the job, or arguments of the preset."""
    of_job = {name: changes.pop(name) for name in ("steps", "seed", "model", "report_every") if name in changes}
    schedule = REGISTRY[preset].build(lr=lr, **changes)
    return replace(job(**of_job), id=next(NUMBERS), schedule=schedule, optimizer=optimizer)


STUDIES: dict[str, list[Job]] = {
    "decays": [trial("wsd", decay=decay) for decay in DECAYS],
    "adam": [trial("wsd", lr=0.002, optimizer=ADAM, decay=decay) for decay in DECAYS],
    "milestones": [trial("multi_step", milestones=f"{at} steps, 54 steps", gamma=0.3) for at in (15, 30, 30, 45)],
    "cycles": [trial("sgdr", first="20 steps", t_mult=1.0, decay=decay) for decay in (1.0, 0.7, 0.5)],
    "budgets": [trial("constant", steps=steps) for steps in (7, 20, 33, 60)],
    "seeds": [trial("wsd", decay=decay, seed=seed) for decay in DECAYS[:3] for seed in (0, 1)],
    "nothing": [trial("cosine", lr=0.05 + 0.01 * at) for at in range(3)],
    "convolutions": [trial("wsd", decay=decay, model="cnn", steps=20) for decay in ("4 steps", "7 steps", "9 steps")],
}
STUDIES["mixed"] = [one for name in ("decays", "milestones", "cycles", "nothing") for one in STUDIES[name]]


CUT = ("decays", "budgets", "mixed")
"""What `make test` looks at; the rest is slow, and runs with `make conformance`."""


def cases(looked_at: Collection[object], all_of_them: Iterable[object]) -> list[Any]:
    return [pytest.param(one, marks=[] if one in looked_at else pytest.mark.slow) for one in all_of_them]


def row_steps(jobs: Sequence[Job]) -> int:
    """Counted in the plainest way: at each step, the number of pasts that differ."""
    pasts: set[tuple[object, ...]] = set()
    for one in jobs:
        table = rules.table(one.optimizer, make_plan(one, 1078))
        pasts |= {(one.seed, table[:step].tobytes()) for step in range(1, len(table) + 1)}
    return len(pasts)


@pytest.mark.parametrize("study", cases(("decays", "budgets"), STUDIES))
def test_in_float64_every_trial_of_a_tree_equals_solo(study: str) -> None:
    jobs = STUDIES[study]
    found = curves(train(Tree(CPU, lanes=64, dtype=torch.float64), *jobs))
    assert max(gap(alone(one, torch.float64), found[one.id]) for one in jobs) < 1e-12


@pytest.mark.parametrize("study", cases(CUT, STUDIES))
def test_in_float32_a_tree_computes_each_shared_step_once_and_gives_the_bits_of_lanes(study: str) -> None:
    jobs = STUDIES[study]
    tree, lanes = Tree(CPU, lanes=64), Lanes(CPU, lanes=64)
    assert curves(train(tree, *jobs)) == curves(train(lanes, *jobs))
    assert (tree.row_steps, lanes.row_steps) == (row_steps(jobs), sum(one.steps or 0 for one in jobs))


@pytest.mark.parametrize("width", cases((2,), (1, 2, 3)))
def test_branches_without_a_lane_wait_and_lose_nothing(width: int) -> None:
    jobs = STUDIES["mixed"] if width == 1 else STUDIES["decays"] + STUDIES["budgets"]
    tree = Tree(CPU, lanes=width, dtype=torch.float64)
    tree.capacity = len(jobs)
    found = curves(train(tree, *jobs))
    assert max(gap(alone(one, torch.float64), found[one.id]) for one in jobs) < 1e-12
    assert tree.row_steps == row_steps(jobs)


def test_a_branch_that_is_no_number_ends_alone() -> None:
    parts = (Schedule(lr=1.0), Schedule(lr=1e20))
    explodes = Schedule(lr=0.05, shape=Join(parts=parts, at=(Span(20.0, "steps"),)))
    jobs = [*STUDIES["decays"], replace(trial("constant"), schedule=explodes)]
    events = train(Tree(CPU), *jobs)
    assert [event.job for event in events if isinstance(event, Diverged)] == [jobs[-1].id]
    expected = curves(train(Lanes(CPU), *jobs))
    assert curves(events) == expected


def test_a_trunk_that_is_no_number_ends_every_trial_where_it_would_end_alone() -> None:
    jobs = [
        replace(at_rate(STUDIES["budgets"][0], 1e18), id=n, steps=20, report_every=every)
        for n, every in enumerate((3, 5, 5), 1)
    ]
    tree, lanes = (
        [event for event in train(make(CPU), *jobs) if isinstance(event, Diverged)] for make in (Tree, Lanes)
    )
    assert {(event.job, event.step, event.reason) for event in tree} == {
        (event.job, event.step, event.reason) for event in lanes
    }
    assert [event.step for event in tree] == [3, 5, 5]


@pytest.mark.parametrize(("place", "step"), [(0, 16), (4, 32), (1, 48)])
def test_a_dropped_trial_leaves_what_it_shares_to_the_others(place: int, step: int) -> None:
    jobs = STUDIES["decays"]
    whole = curves(train(Tree(CPU), *jobs))
    events = train(Tree(CPU), *jobs, drop=(jobs[place].id, step))
    found = curves(events)
    assert dropped(events) == [(jobs[place].id, step)]
    assert all(found[one.id] == whole[one.id] for one in jobs if one is not jobs[place])


def test_a_trial_dropped_while_its_branch_waits_ends_where_it_parted_and_is_trained_no_further() -> None:
    jobs, steering, events = STUDIES["decays"], Steering(), []
    tree = Tree(CPU, lanes=1)
    tree.capacity = len(jobs)
    for event in tree.run(jobs, steering):
        events.append(event)
        if isinstance(event, Points) and (event.job, event.step) == (jobs[0].id, 40):
            steering.drop(jobs[4].id)
    assert dropped(events) == [(jobs[4].id, 27)]
    assert tree.row_steps == row_steps(jobs[:4])


def test_trials_whose_worker_died_go_on_together_from_where_they_were() -> None:
    jobs, steering, events = STUDIES["decays"], Steering(checkpoint_every_s=3600), []
    first = Tree(CPU)
    for event in first.run(jobs, steering):
        events.append(event)
        if isinstance(event, Points) and event.step == 32:
            steering.drop_all()
    saved = {event.job: event.snapshot for event in events if isinstance(event, Checkpointed)}
    second, whole = Tree(CPU), curves(train(Tree(CPU), *jobs))
    found = curves(train(second, *(replace(one, resume=saved[one.id]) for one in jobs)))
    assert all(found[one.id] == [point for point in whole[one.id] if point[0] > 32] for one in jobs)
    assert first.row_steps + second.row_steps == row_steps(jobs)


def test_trials_of_one_trajectory_that_report_at_different_steps_tell_each_its_own_points() -> None:
    jobs = [trial("wsd", decay="20 steps", report_every=every) for every in (1, 7, 16, 60)]
    tree = Tree(CPU, dtype=torch.float64)
    found = curves(train(tree, *jobs))
    assert max(gap(alone(one, torch.float64), found[one.id]) for one in jobs) < 1e-12
    assert tree.row_steps == 60


def test_each_trial_says_whether_it_shared_anything() -> None:
    jobs = [*STUDIES["decays"][:2], STUDIES["nothing"][1]]
    said = [event.engine for event in train(Tree(CPU), *jobs) if isinstance(event, Started)]
    assert said == ["tree", "tree", "lanes"]


def test_the_time_of_shared_steps_is_split_over_those_who_share_them() -> None:
    jobs = [trial("constant", steps=16) for _ in range(4)]
    times = [event.device_seconds for event in train(Tree(CPU), *jobs) if isinstance(event, Finished)]
    alone_in_it = train(Tree(CPU), jobs[0])[-1]
    assert len(set(times)) == 1
    assert isinstance(alone_in_it, Finished)
    assert sum(times) < 3 * alone_in_it.device_seconds
