"""Every engine equals `solo`, trial by trial, whatever the neighbours.

An engine is added to `ENGINES` in `lane_jobs`, a model to `MODELS` in `engine_models`. What is marked slow is the whole
matrix, and runs with `make conformance`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from engine_models import MODELS
from lane_jobs import CPU, ENGINES, OPTIMIZERS, STEPS, alone, at_rate, curves, dropped, gap, job, lanes, train

from schedules import Span
from worker.engine import Diverged, Ema, Engine, Ensemble, Finished, Job, Lanes, Solo, Started, Swa
from worker.engine.lanes.affine import NARROW

BATCHED = [name for name in ENGINES if name != "solo"]
COUNTS = {1: [0], 4: [0, 1, 2], 32: [0, 16, 29]}
"""How many lanes, and which of them are compared: one of each schedule."""
SCHEDULES = ["constant", "onecycle", "wsd"]
CUT = {
    ("lanes", "mlp", "nesterov", 32),
    *(("lanes", "mlp", optimizer, 4) for optimizer in ("sgd", "adam", "rmsprop")),
    ("lanes", "mlp", "adamw", 1),
    *(("lanes", model, "adamw", 4) for model in ("dropout", "vit_small")),
    ("vmap", "own", "nesterov", 4),
}
"""What `make test` looks at."""


def marked(*case: Any) -> Any:
    return pytest.param(*case, marks=[] if case in CUT else pytest.mark.slow)


def grouped(model: str, optimizer: str, count: int, engine: str) -> Any:
    """Those that ask `solo` for the same run in one process, where it is remembered."""
    marks = [pytest.mark.xdist_group(f"{model} {optimizer}")]
    case = engine, model, optimizer, count
    return pytest.param(*case, marks=marks if case in CUT else [*marks, pytest.mark.slow])


CASES = [
    grouped(*case)
    for case in product(MODELS, OPTIMIZERS, COUNTS, BATCHED)
    if case[0] != "own" or case[-1] == "vmap"  # its forward is code, which only torch.func can follow
]


@cache
def engine_of(name: str) -> Engine:
    """One for all cases: it compares each model with its batched form but once."""
    return ENGINES[name](CPU, lanes=64, dtype=torch.float64)


@pytest.mark.parametrize(("engine", "model", "optimizer", "count"), CASES)
def test_in_float64_every_engine_equals_solo_in_every_point_and_metric(
    engine: str, model: str, optimizer: str, count: int
) -> None:
    steps = MODELS[model].wide if count > 4 else MODELS[model].steps
    # Each schedule in one lane of three; a lane alone is each of them in turn.
    turns = range(len(SCHEDULES)) if count == 1 else [0]
    for turn in turns:
        names = [SCHEDULES[(turn + lane) % len(SCHEDULES)] for lane in range(count)]
        given = [
            job(lane, model=model, optimizer=optimizer, schedule=name, steps=steps) for lane, name in enumerate(names)
        ]
        events = train(engine_of(engine), *given)
        gaps = [gap(alone(given[lane], torch.float64), curves(events)[lane + 1]) for lane in COUNTS[count]]
        assert {event.engine for event in events if isinstance(event, Started)} == {"lanes"}
        assert max(gaps) < 1e-12


@pytest.mark.parametrize("engine", BATCHED)
@pytest.mark.parametrize("model", [pytest.param(one, marks=pytest.mark.slow) for one in MODELS])
def test_averages_and_ensembles_of_every_model_are_those_of_solo(engine: str, model: str) -> None:
    if model == "own" and engine != "vmap":
        pytest.skip("only torch.func can follow its forward")
    averaging = (Swa(every=Span.parse("2 steps")), Ema(0.9), *([] if model == "own" else [Ensemble(members=2)]))
    given = [job(lane, model=model, schedule=name, steps=8, averaging=averaging) for lane, name in enumerate(SCHEDULES)]
    events = train(engine_of(engine), *given)
    assert {event.engine for event in events if isinstance(event, Started)} == {"lanes"}
    assert max(gap(alone(one, torch.float64), curves(events)[one.id]) for one in given) < 1e-12


@pytest.mark.parametrize("model", ["mlp", "cnn", "dropout", "own"])
def test_lanes_of_different_seeds_in_one_array_equal_solo(model: str) -> None:
    given = [job(lane, model=model, seed=lane // 2, steps=20) for lane in range(4)]
    found = lanes(*given, dtype=torch.float64)
    assert max(gap(alone(one, torch.float64), found[one.id]) for one in given) < 1e-12


@pytest.mark.parametrize("engine", BATCHED)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rates_that_fall_layer_by_layer_are_those_of_solo(engine: str, optimizer: str) -> None:
    given = [job(lane, model="dropout", optimizer=optimizer, steps=20) for lane in range(3)]
    given = [replace(one, optimizer=replace(one.optimizer, layer_decay=0.5 + 0.1 * one.id)) for one in given]
    found = curves(train(ENGINES[engine](CPU, dtype=torch.float64), *given))
    assert max(gap(alone(one, torch.float64), found[one.id]) for one in given) < 1e-12


@pytest.mark.parametrize("engine", BATCHED)
def test_masks_of_each_trials_own_are_those_of_solo(engine: str) -> None:
    given = [job(lane, model="dropout", steps=20, dropout_masks="own") for lane in range(3)]
    found = curves(train(ENGINES[engine](CPU, dtype=torch.float64), *given))
    assert max(gap(alone(one, torch.float64), found[one.id]) for one in given) < 1e-12


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [("mlp", "nesterov"), ("mlp", "adamw"), pytest.param("cnn", "nesterov", marks=pytest.mark.slow)],
)
def test_in_float32_lanes_are_as_near_to_solo_as_float32_is_to_float64(model: str, optimizer: str) -> None:
    # Farther on a CNN jumps now and then, by some hits, and `solo` in float32 against float64 as often as lanes do.
    given = [job(lane, model=model, optimizer=optimizer, steps=MODELS[model].wide) for lane in range(4)]
    found = lanes(*given)
    floor = max(gap(alone(one), alone(one, torch.float64)) for one in given)
    assert 0 < floor < 0.05
    assert max(gap(alone(one), found[one.id]) for one in given) <= 4 * floor


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("model", [one if one in {"mlp", "cnn"} else marked(one) for one in MODELS])
def test_the_number_of_lanes_changes_no_bit_of_a_lane(model: str, count: int) -> None:
    steps = min(24, MODELS[model].steps)
    four = lanes(*(job(lane, model=model, steps=steps) for lane in range(4)))
    other = lanes(*(job(lane, model=model, steps=steps) for lane in range(count)))
    shared = four.keys() & other.keys()
    assert {lane: four[lane] for lane in shared} == {lane: other[lane] for lane in shared}


@pytest.mark.parametrize("model", ["vit_small", pytest.param("gpt_small", marks=pytest.mark.slow)])
def test_a_transformer_whose_gradients_are_written_out_equals_solo_and_keeps_its_bits_alone(model: str) -> None:
    given = [job(lane, model=model, batch_size=NARROW, steps=4, schedule="constant") for lane in range(3)]
    exact = lanes(*given, dtype=torch.float64)
    assert max(gap(alone(one, torch.float64), exact[one.id]) for one in given) < 1e-12
    together = lanes(*given)
    assert [lanes(one)[one.id] for one in given] == [together[one.id] for one in given]


@pytest.mark.parametrize("model", [one if one in {"mlp", "cnn"} else marked(one) for one in MODELS])
def test_neighbours_elsewhere_in_the_data_change_no_bit_of_a_lane(model: str) -> None:
    given = [job(lane, model=model, steps=min(16, MODELS[model].steps)) for lane in range(3)]
    expected = lanes(*given)
    found = lanes(*given, *(replace(one, id=one.id + 3, seed=one.id) for one in given))
    assert {lane: found[lane] for lane in expected} == expected


@pytest.mark.parametrize("model", [one if one in {"mlp", "cnn", "own"} else marked(one) for one in MODELS])
def test_a_lane_that_is_no_number_is_dropped_and_its_neighbours_keep_every_bit(model: str) -> None:
    given = [job(lane, model=model, steps=min(24, MODELS[model].steps)) for lane in range(4)]
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
    told = {name: event.engine for name, event in said.items() if isinstance(event, Started)}
    assert told == {name: "solo" if name == "solo" else "lanes" for name in ENGINES}
