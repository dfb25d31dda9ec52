"""Every engine equals `solo`, trial by trial, whatever the neighbours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from lane_jobs import CPU, OPTIMIZERS, STEPS, alone, at_rate, curves, dropped, gap, job, lanes, train

from worker.engine import Diverged, Engine, Finished, Job, Lanes, Solo, Started, Tree

ENGINES: dict[str, Callable[..., Engine]] = {"solo": Solo, "lanes": Lanes, "tree": Tree}
SCHEDULES = ["constant", "onecycle", "wsd"]
CASES = [
    *(("mlp", optimizer, count) for optimizer in OPTIMIZERS for count in (1, 4, 32)),
    *(("cnn", optimizer, count) for optimizer in ("nesterov", "adamw") for count in (1, 4)),
]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("model", "optimizer", "count"), CASES)
def test_in_float64_lanes_equal_solo_in_every_point_and_metric(
    model: str, optimizer: str, count: int, schedule: str
) -> None:
    given = [job(lane, model=model, optimizer=optimizer, schedule=schedule) for lane in range(count)]
    found = lanes(*given, dtype=torch.float64)
    looked_at = sorted({0, 1, 2, 3, count // 2, count - 1} & set(range(count)))
    gaps = [gap(alone(given[lane], torch.float64), found[lane + 1]) for lane in looked_at]
    assert max(gaps) < 1e-12


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_lanes_of_different_seeds_in_one_array_equal_solo(model: str) -> None:
    given = [job(lane, model=model, seed=lane // 2) for lane in range(4)]
    found = lanes(*given, dtype=torch.float64)
    assert max(gap(alone(one, torch.float64), found[one.id]) for one in given) < 1e-12


@pytest.mark.parametrize(("model", "optimizer"), [("mlp", "nesterov"), ("mlp", "adamw"), ("cnn", "nesterov")])
def test_in_float32_lanes_are_as_near_to_solo_as_float32_is_to_float64(model: str, optimizer: str) -> None:
    given = [job(lane, model=model, optimizer=optimizer) for lane in range(4)]
    found = lanes(*given)
    floor = max(gap(alone(one), alone(one, torch.float64)) for one in given)
    assert 0 < floor < 0.05
    assert max(gap(alone(one), found[one.id]) for one in given) <= 4 * floor


@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_number_of_lanes_changes_no_bit_of_a_lane(model: str, count: int) -> None:
    four = lanes(*(job(lane, model=model, steps=24) for lane in range(4)))
    other = lanes(*(job(lane, model=model, steps=24) for lane in range(count)))
    shared = four.keys() & other.keys()
    assert {lane: four[lane] for lane in shared} == {lane: other[lane] for lane in shared}


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_lane_that_is_no_number_is_dropped_and_its_neighbours_keep_every_bit(model: str) -> None:
    given = [job(lane, model=model, steps=24) for lane in range(4)]
    events = train(Lanes(CPU), given[0], at_rate(given[1], 1e18), given[2], given[3])
    expected, found = lanes(*given), curves(events)
    assert [event.job for event in events if isinstance(event, Diverged)] == [2]
    assert [found[lane] == expected[lane] for lane in (1, 3, 4)] == [True] * 3


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_calls_the_same_trials_diverged_at_the_same_step_for_the_same_reason(engine: str) -> None:
    rates = [1e-2, 30.0, 1e3, 1e6]
    given = [at_rate(job(lane, label_smoothing=0.0), rate) for lane, rate in enumerate(rates)]
    told = [event for event in train(ENGINES[engine](CPU), *given) if isinstance(event, Diverged | Finished)]
    ended = {event.job: getattr(event, "step", STEPS) for event in told}
    assert ended == {1: 60, **_solo_divergence(given[1:])}


def _solo_divergence(given: list[Job]) -> dict[int, int]:
    events = [train(Solo(CPU), one)[-1] for one in given]
    return {event.job: event.step if isinstance(event, Diverged) else STEPS for event in events}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dropped_trial_ends_there_and_the_others_do_not_notice(engine: str) -> None:
    given = [job(lane) for lane in range(4)]
    whole = curves(train(ENGINES[engine](CPU), *given))
    events = train(ENGINES[engine](CPU), *given, drop=(2, 16))
    assert dropped(events) == [(2, 16)]
    assert [curves(events)[lane] == whole[lane] for lane in (1, 3, 4)] == [True] * 3


@pytest.mark.parametrize("engine", ENGINES)
def test_trials_of_different_lengths_finish_each_at_its_own(engine: str) -> None:
    given = [job(lane, steps=steps) for lane, steps in enumerate([20, 45, 33, 60])]
    events = train(ENGINES[engine](CPU, dtype=torch.float64), *given)
    assert {event.job: event.steps_done for event in events if isinstance(event, Finished)} == {
        1: 20,
        2: 45,
        3: 33,
        4: 60,
    }
    assert max(gap(alone(one, torch.float64), curves(events)[one.id]) for one in given) < 1e-12


def test_freed_lanes_are_refilled_and_every_trial_still_equals_solo() -> None:
    given = [job(lane, steps=steps, model="mlp") for lane, steps in enumerate([20, 45, 33, 60, 7])]
    found = lanes(*given, lanes=2, dtype=torch.float64)
    assert max(gap(alone(one, torch.float64), found[one.id]) for one in given) < 1e-12


def test_each_trial_says_which_engine_trains_it() -> None:
    said = {name: train(make(CPU), job(steps=2))[0] for name, make in ENGINES.items()}
    assert {name: event.engine for name, event in said.items() if isinstance(event, Started)} == {
        "solo": "solo",
        "lanes": "lanes",
        "tree": "lanes",
    }
