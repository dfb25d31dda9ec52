"""Snapshots of the engines `lanes` and `tree`: jobs go on from them in any lane of any array, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from lane_jobs import CPU, at_rate, curves, job

from schedules.presets import REGISTRY
from worker.engine import Checkpointed, Dropped, Engine, Event, Job, Lanes, Points, Snapshot, Solo, Started, Steering
from worker.engine.choice import engine
from worker.engine.lanes import Tree

STEPS = 40
KINDS: dict[str, list[Job]] = {
    "nesterov": [job(lane, steps=STEPS, report_every=7) for lane in range(3)],
    "adamw": [job(lane, optimizer="adamw", steps=STEPS, report_every=7) for lane in range(3)],
    "batch norm": [job(lane, model="cnn", steps=16, report_every=3) for lane in range(3)],
    # One trunk, and cooldowns that leave it at different steps.
    "branches": [
        replace(
            job(0, steps=STEPS, report_every=7),
            id=number,
            schedule=REGISTRY["wsd"].build(lr=0.05, warmup="0%", decay=f"{cooldown} steps"),
        )
        for number, cooldown in ((1, 8), (2, 16), (3, 24))
    ],
}
ENGINES: dict[str, Callable[[], Engine]] = {"lanes": lambda: Lanes(CPU, lanes=4), "tree": lambda: Tree(CPU, lanes=2)}


def run(trainer: Engine, jobs: Iterable[Job], steering: Steering | None = None) -> list[Event]:
    return list(trainer.run(jobs, steering or Steering()))


@cache
def whole(kind: str, name: str) -> tuple[dict[int, Any], dict[int, dict[int, Snapshot]]]:
    """The curves, and the snapshots of each job by step."""
    events = run(ENGINES[name](), KINDS[kind], Steering(checkpoint_every_s=1e-9))
    saved: dict[int, dict[int, Snapshot]] = {}
    for event in events:
        if isinstance(event, Checkpointed):
            saved.setdefault(event.job, {})[event.step] = event.snapshot
    return curves(events), saved


def later(curve: Any, step: int) -> Any:
    return [point for point in curve if point[0] > step]


QUICK = {("nesterov", "lanes"), ("batch norm", "lanes"), ("branches", "tree")}
PAIRS = [
    pytest.param(kind, name, marks=() if (kind, name) in QUICK else pytest.mark.slow)
    for kind in KINDS
    for name in ENGINES
]


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_a_lane_goes_on_from_any_snapshot_bit_for_bit_alone_or_beside_others(kind: str, name: str) -> None:
    expected, saved = whole(kind, name)
    assert expected == curves(run(ENGINES[name](), KINDS[kind]))
    for given, number in zip(KINDS[kind], (0, 2, -1), strict=True):
        step = sorted(saved[given.id])[number]
        resumed = replace(given, resume=saved[given.id][step])
        fresh = [replace(other, id=other.id + 10) for other in KINDS[kind] if other is not given]
        for others in ([], fresh):
            events = run(ENGINES[name](), [*others, resumed])
            (started,) = (event for event in events if isinstance(event, Started) and event.job == given.id)
            assert (started.engine, started.resumed_from) == ("lanes", step)
            assert later(curves(events)[given.id], 0) == later(expected[given.id], step)


def test_a_worker_told_to_stop_keeps_every_job_those_that_wait_for_a_lane_too() -> None:
    steering, events = Steering(checkpoint_every_s=3600), []
    for event in Tree(CPU, lanes=2).run(KINDS["branches"], steering):
        events.append(event)
        if isinstance(event, Points) and event.step == 28:
            steering.drop_all()
    saved = {event.job: event.snapshot for event in events if isinstance(event, Checkpointed)}
    assert {event.job for event in events if isinstance(event, Dropped)} == saved.keys() == {1, 2, 3}
    resumed = [replace(given, resume=saved[given.id]) for given in KINDS["branches"]]
    expected, found = whole("branches", "tree")[0], curves(run(Lanes(CPU, lanes=3), resumed))
    assert all(found[key] == later(expected[key], saved[key].step) for key in saved)


@pytest.mark.parametrize("writer", ["lanes", "solo"])
@pytest.mark.parametrize("option", ["solo", "lanes", "tree", "auto"])
def test_whatever_engine_a_worker_has_a_trial_goes_on_with_the_one_that_began_it(option: Any, writer: str) -> None:
    given, steering = KINDS["nesterov"][0], Steering(checkpoint_every_s=1e-9)
    begun = run(Solo(CPU) if writer == "solo" else Lanes(CPU, lanes=4), [given], steering)
    (saved,) = (event.snapshot for event in begun if isinstance(event, Checkpointed) and event.step == 14)
    events = run(engine(option, CPU), [replace(given, resume=saved)])
    assert isinstance(events[0], Started)
    assert (events[0].engine, events[0].resumed_from) == (writer, 14)
    assert curves(events)[1] == later(curves(begun)[1], 14)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("the engine's version was 0", lambda saved: replace(saved, version=0)),
        ("0 was [3]", lambda saved: replace(saved, tensors={**saved.tensors, "column.0": torch.zeros(3)})),
        (
            "other tensors than the model has: tally",
            lambda saved: replace(saved, tensors={k: v for k, v in saved.tensors.items() if k != "tally"}),
        ),
        ("its last values should be numbers", lambda saved: replace(saved, counters={})),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused_and_the_job_trained_anew(
    reason: str, change: Callable[[Any], Snapshot], caplog: pytest.LogCaptureFixture
) -> None:
    expected, saved = whole("nesterov", "lanes")
    given = KINDS["nesterov"][0]
    found = curves(run(Lanes(CPU, lanes=4), [replace(given, resume=change(saved[1][14]))]))
    assert (found[1], reason in caplog.text) == (expected[1], True)


def test_a_lane_that_is_not_finite_may_be_kept_before_anybody_looks() -> None:
    steering = Steering(checkpoint_every_s=1e-9)
    wild = at_rate(replace(KINDS["nesterov"][1], report_every=1000), 1e18)
    events = run(Lanes(CPU, lanes=4), [KINDS["nesterov"][0], wild], steering)
    assert any(isinstance(event, Checkpointed) and event.job == wild.id for event in events)
