"""How many trials are trained at once is measured, once for each kind of job."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import torch
from lane_jobs import CPU, alone, curves, gap, job, train

from worker.engine import Lanes, Started
from worker.engine.lanes.admission import Admission
from worker.engine.lanes.array import Array
from worker.engine.lanes.probe import SOLO, Probe, fastest, widest
from worker.tasks import resident


@pytest.mark.parametrize(
    ("seconds", "lanes"),
    [
        ({1: 1.0}, SOLO),
        ({1: 1.0, 4: 0.99, 8: 1.2}, SOLO),
        ({1: 1.0, 4: 0.5, 8: 0.4, 16: 0.395}, 8),
        ({1: 1.0, 4: 2.0, 8: 0.9}, 8),
    ],
)
def test_more_lanes_are_taken_only_where_they_are_clearly_faster(seconds: dict[int, float], lanes: int) -> None:
    assert fastest(seconds) == lanes


@pytest.mark.parametrize(
    ("seconds", "lanes"),
    [
        ({8: 5.0, 16: 4.0, 32: 4.2}, 32),
        ({8: 4.0, 16: 4.2, 32: 5.0}, 16),
        ({8: 3.0, 16: 4.0, 32: 5.0}, 8),
        ({8: 9.0}, 8),
    ],
)
def test_where_updates_are_shared_more_lanes_may_cost_a_little(seconds: dict[int, float], lanes: int) -> None:
    assert widest(seconds) == lanes


def test_a_kind_of_job_is_tried_out_once_and_the_log_says_what_was_found(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    engine = Lanes(CPU, probing=True)
    train(engine, job(0), job(1))
    train(engine, job(2))
    train(engine, job(3, batch_size=32))
    said = [record.getMessage() for record in caplog.records if "tried out in" in record.getMessage()]
    assert [line[:27] for line in said] == ["digits/mlp, batches of 64: ", "digits/mlp, batches of 32: "]


def test_trials_are_the_same_however_many_lanes_were_found_best() -> None:
    given = [job(lane, steps=20) for lane in range(3)]
    events = train(Lanes(CPU, probing=True, dtype=torch.float64), *given)
    assert max(gap(alone(one, torch.float64), curves(events)[one.id]) for one in given) < 1e-12


def test_a_trial_too_short_to_measure_is_given_all_lanes() -> None:
    (started, *_) = train(Lanes(CPU, probing=True), replace(job(0), steps=1))
    assert isinstance(started, Started)
    assert started.engine == "lanes"


def test_every_update_that_is_timed_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given = job(0, steps=40, report_every=5)
    made, update = [], Array._update

    def counted(array: Array, *arguments: Any) -> torch.Tensor:
        made.append(len(array.rows))
        return update(array, *arguments)

    monkeypatch.setattr(Array, "_update", counted)
    once = Probe(CPU, None).updating(Admission(CPU, None).admit(given), resident(given.task, CPU), 2)
    for _ in range(12):
        once()
    assert made == [2] * 12
