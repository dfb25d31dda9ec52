"""Reduce on plateau and greedy against recorded traces, the installed libraries, and their own promises."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedules import Join, ScheduleError, Span, Warmup, from_dict, to_dict
from schedules.feedback import BoundFeedback, Greedy, ReduceOnPlateau

TRACES = json.loads((Path(__file__).parent / "data" / "golden_schedules.json").read_text())["metric_driven"]
RISING_AND_FALLING = [3.0, 2.5, 2.5, 2.4, 2.6, math.nan, 2.41, 2.4, 1.0, 1.2, 1.2, math.inf, 1.1, 0.4, 0.5, 0.6] * 3


def from_trace(params: dict[str, Any], family: str, *, threshold_mode: str) -> ReduceOnPlateau | Greedy:
    own = {
        name: params[name]
        for name in ("mode", "factor", "patience", "threshold", "cooldown", "warmup")
        if name in params
    }
    if params.get("threshold_mode") == "abs" or family == "greedy":
        threshold_mode = "abs"
    lr = params["base_lr"]
    bounds = {"end": params.get("min_lr", 0.0) / lr} | ({"most": params["max_lr"] / lr} if "max_lr" in params else {})
    build = ReduceOnPlateau if family == "reduce_on_plateau" else Greedy
    return build(lr=lr, threshold_mode=threshold_mode, **own, **bounds)  # type: ignore[arg-type]


def replay(bound: BoundFeedback, metrics: list[float]) -> list[float]:
    return [bound.lr(0), *(bound.observe(metric) for metric in metrics)]


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace["id"])
def test_recorded_traces_of_the_libraries_are_reproduced(trace: dict[str, Any]) -> None:
    schedule = from_trace(trace["params"], trace["family"], threshold_mode="torch_rel")
    rates = replay(schedule.bind(len(trace["metrics"])), trace["metrics"])
    np.testing.assert_allclose(rates, trace["lr_in_force_per_epoch_then_final"], rtol=1e-12)


@pytest.mark.parametrize("trace", [t for t in TRACES if min(t["metrics"]) > 0], ids=lambda trace: trace["id"])
def test_the_sign_proof_threshold_changes_nothing_for_positive_metrics(trace: dict[str, Any]) -> None:
    schedule = from_trace(trace["params"], trace["family"], threshold_mode="rel")
    rates = replay(schedule.bind(len(trace["metrics"])), trace["metrics"])
    np.testing.assert_allclose(rates, trace["lr_in_force_per_epoch_then_final"], rtol=1e-12)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(("patience", "cooldown", "end"), [(0, 0, 0.0), (1, 2, 0.0), (2, 0, 0.3), (0, 1, 0.05)])
def test_reduce_on_plateau_equals_torch_step_by_step(mode: str, patience: int, cooldown: int, end: float) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, factor=0.5, patience=patience, cooldown=cooldown, min_lr=end * 0.1
    )
    ours = ReduceOnPlateau(lr=0.1, mode=mode, factor=0.5, patience=patience, cooldown=cooldown, end=end)  # type: ignore[arg-type]
    bound = ours.bind(len(RISING_AND_FALLING))
    for metric in RISING_AND_FALLING:
        if math.isinf(metric):
            continue  # torch takes +inf for the best there is under mode="max", and never improves again
        theirs.step(metric)
        assert bound.observe(metric) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize(("patience", "cooldown", "rest", "window"), [(0, 0, 0, 1), (1, 2, 1, 1), (1, 0, 2, 3)])
def test_greedy_equals_transformers_step_by_step(patience: int, cooldown: int, rest: int, window: int) -> None:
    torch = pytest.importorskip("torch")
    optimization = pytest.importorskip("transformers.optimization")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    common = {"factor": 0.5, "patience": patience, "cooldown": cooldown}
    theirs = optimization.GreedyLR(
        optimizer, min_lr=0.01, max_lr=0.3, smooth=window > 1, window_size=window, warmup=rest, reset_start=2, **common
    )
    bound = Greedy(lr=0.1, end=0.1, most=3.0, window=window, rest_after_raise=rest, reset_after=2, **common).bind(100)  # type: ignore[arg-type]
    for metric in filter(math.isfinite, RISING_AND_FALLING):
        theirs.step(metric)
        assert bound.observe(metric) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize(("mode", "value"), [("min", -1.0), ("max", -1.0), ("min", 1.0), ("max", 1.0), ("min", 0.0)])
def test_a_constant_metric_is_a_plateau_whatever_its_sign(mode: str, value: float) -> None:
    bound = ReduceOnPlateau(lr=0.1, mode=mode, factor=0.5, patience=3).bind(100)  # type: ignore[arg-type]
    assert replay(bound, [value] * 5) == [0.1, 0.1, 0.1, 0.1, 0.1, 0.05]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_counts_as_bad_and_is_never_the_best(broken: float) -> None:
    bound = ReduceOnPlateau(lr=0.1, factor=0.5, patience=1).bind(100)
    assert replay(bound, [1.0, broken, broken, 0.5])[1:] == [0.1, 0.1, 0.05, 0.05]
    assert bound.state["best"] == 0.5


def test_one_broken_metric_does_not_poison_a_greedy_window() -> None:
    bound = Greedy(lr=0.1, window=4, patience=0, factor=0.5).bind(100)
    replay(bound, [1.0, math.nan, 0.9, 0.8])
    assert bound.state["recent"] == [1.0, 0.9, 0.8]


def test_greedy_bounds_follow_the_rate_instead_of_jumping_to_an_absolute_floor() -> None:
    bound = Greedy(lr=3e-4, patience=0).bind(100)
    rates = replay(bound, [1.0] * 400)
    assert min(rates) == pytest.approx(3e-6)
    assert max(rates) <= 3e-4 / 0.95


@pytest.mark.parametrize(
    "schedule", [ReduceOnPlateau(lr=0.1, patience=1, cooldown=2), Greedy(lr=0.1, patience=1, window=3)]
)
@pytest.mark.parametrize("cut", [0, 1, 7, 30])
def test_resuming_from_the_json_state_equals_never_having_stopped(schedule: ReduceOnPlateau | Greedy, cut: int) -> None:
    whole, first = schedule.bind(100), schedule.bind(100)
    expected = replay(whole, RISING_AND_FALLING)
    replay(first, RISING_AND_FALLING[:cut])
    second = schedule.bind(250, state=json.loads(json.dumps(first.state)))
    assert [second.observe(metric) for metric in RISING_AND_FALLING[cut:]] == expected[cut + 1 :]
    assert second.state == whole.state


def test_the_rate_of_every_past_step_can_be_read_back() -> None:
    bound = ReduceOnPlateau(lr=0.1, factor=0.5, patience=0).bind(40, steps_per_epoch=10)
    for metric in (1.0, 2.0, 0.5, 3.0):
        bound.observe(metric)
    np.testing.assert_array_equal(bound.lr(np.array([0, 19, 20, 39, 40, 99])), [0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
    assert (bound.lr(19), bound.lr(20)) == (0.1, 0.05)


def test_feedback_schedules_are_values_that_say_they_need_the_metric() -> None:
    assert ReduceOnPlateau(lr=0.1) == ReduceOnPlateau(lr=0.1) != ReduceOnPlateau(lr=0.2)
    assert len({Greedy(lr=0.1), Greedy(lr=0.1)}) == 1
    assert Greedy(lr=0.1).needs_metric
    assert ReduceOnPlateau(lr=0.1).needs_metric


@pytest.mark.parametrize(
    "schedule",
    [ReduceOnPlateau(lr=0.1, mode="max", warmup=Warmup(span=Span(5, "steps"))), Greedy(lr=3e-4, window=7, most=2.0)],
)
def test_json_reads_back_to_an_equal_schedule(schedule: ReduceOnPlateau | Greedy) -> None:
    assert from_dict(json.loads(json.dumps(to_dict(schedule)))) == schedule


def test_a_document_of_another_kind_is_refused_with_its_path() -> None:
    with pytest.raises(
        ScheduleError, match=r"^schedule.kind: need one of greedy, reduce_on_plateau, schedule, got 'x'"
    ):
        from_dict({"kind": "x"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patience": -1}, "schedule.patience: need a whole number 0 <= patience, got -1"),
        ({"shape": {}}, "schedule.shape: unknown field of reduce_on_plateau"),
        ({"warmup": {"kind": "warmup", "span": "soon"}}, "schedule.warmup.span: need a fraction"),
        ({"lr": ...}, "schedule.lr: reduce_on_plateau needs this field, got nothing"),
    ],
)
def test_what_is_wrong_with_a_document_is_told_with_its_path_too(change: dict[str, Any], message: str) -> None:
    document = {"kind": "reduce_on_plateau", "lr": 0.1} | change
    with pytest.raises(ScheduleError) as refused:
        from_dict({name: value for name, value in document.items() if value is not ...})
    assert str(refused.value).startswith(message)


def test_a_warmup_runs_in_front_and_what_is_observed_in_it_cuts_nothing() -> None:
    schedule = ReduceOnPlateau(lr=0.1, factor=0.5, patience=0, warmup=Warmup(span=Span(4, "steps")))
    bound = schedule.bind(20)
    rates = replay(bound, [1.0, 5.0, 5.0, 5.0, 0.5])
    np.testing.assert_allclose(bound.lr(np.arange(7)), [0.0, 0.025, 0.05, 0.075, 0.05, 0.05, 0.05])
    assert rates[4] == 0.05


def test_a_feedback_schedule_cannot_be_a_part_of_another() -> None:
    with pytest.raises(ScheduleError, match=r"parts\[0\]: need schedules that are functions of the step"):
        Join(parts=(ReduceOnPlateau(lr=0.1),), at=())


def test_a_warmup_longer_than_the_horizon_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"^warmup: need 0 <= warmup <= total_steps, got 12 of 10 steps"):
        ReduceOnPlateau(lr=0.1, warmup=Warmup(span=Span(12, "steps"))).bind(10)


@pytest.mark.parametrize(
    ("build", "argument", "bad", "good"),
    [
        (ReduceOnPlateau, "lr", 0.0, 1e-9),
        (ReduceOnPlateau, "mode", "best", "max"),
        (ReduceOnPlateau, "factor", 1.0, 0.999),
        (ReduceOnPlateau, "factor", 0.0, 0.001),
        (ReduceOnPlateau, "patience", -1, 0),
        (ReduceOnPlateau, "patience", 1.5, 1),
        (ReduceOnPlateau, "cooldown", -1, 0),
        (ReduceOnPlateau, "threshold", -1e-9, 0.0),
        (ReduceOnPlateau, "threshold_mode", "relative", "torch_rel"),
        (ReduceOnPlateau, "end", 1.01, 1.0),
        (ReduceOnPlateau, "eps", 1.0, 0.99),
        (Greedy, "most", 0.99, 1.0),
        (Greedy, "rest_after_raise", -1, 0),
        (Greedy, "window", 0, 1),
        (Greedy, "reset_after", 0, 1),
    ],
)
def test_every_argument_has_its_rule_on_both_sides(build: Any, argument: str, bad: object, good: object) -> None:
    build(**{"lr": 0.1, argument: good})
    with pytest.raises(ScheduleError, match=rf"^{argument}: need .*, got .*{bad}"):
        build(**{"lr": 0.1, argument: bad})


@pytest.mark.parametrize(
    ("change", "match"),
    [({"best": "low"}, "number"), ({"bad": -1}, "whole"), ({"changes": []}, "initial rate"), ({"extra": 1}, "exactly")],
)
def test_a_damaged_state_is_refused(change: dict[str, object], match: str) -> None:
    schedule = ReduceOnPlateau(lr=0.1)
    with pytest.raises(ScheduleError, match=match):
        schedule.bind(10, state=schedule.bind(10).state | change)
