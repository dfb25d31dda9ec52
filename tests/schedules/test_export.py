"""Exported source is executed and compared step by step; native calls are made to the installed libraries."""

from __future__ import annotations

import csv
import importlib
import io
import json
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from schedules import (
    Against,
    At,
    BoundSchedule,
    Cycle,
    Every,
    Fixed,
    Fractal,
    Join,
    Once,
    OneCycle,
    Points,
    Product,
    Profile,
    Restarts,
    Schedule,
    Span,
    StableDecay,
    TwoPoint,
    Warmup,
    from_dict,
)
from schedules.export import native_call, to_csv, to_torch_source
from schedules.presets import REGISTRY
from schedules.profiles import Cosine, Exponential, InverseSqrt, KDecay, Linear, OneMinusSqrt, Polynomial
from schedules.tagged import variants

WARMUPS = {
    "none": None,
    "half_steps": Warmup(span=Span(0.033)),
    "start": Warmup(span=Span(10, "steps"), start=0.2, ramp=Cosine()),
    "next": Warmup(span=Span(10, "steps"), counting="next"),
    "inside": Warmup(span=Span(1, "epochs"), counting="inside", ramp=OneMinusSqrt()),
    "overlay": Warmup(span=Span(10, "steps"), overlay=True),
}
SHAPES = {
    "once": Once(profile=Cosine(power=1.5), over=Span(0.4), beyond="mirror"),
    "repeat": Once(profile=Linear(), over=Span(30, "steps"), beyond="repeat", rising=True),
    "restarts": Restarts(profile=Polynomial(power=2.0), first=Span(13, "steps"), factor=1.7, decay=0.8),
    "cycles": Cycle(profile=Cosine(), up=Span(7, "steps"), down=Span(11, "steps"), decay=0.9),
    "exp_range": Cycle(cycles=3, envelope=Once(profile=Exponential(ratio=0.1))),
    "turn": OneCycle(rise=0.3, turn=0.7, profile=Linear()),
    "ulmfit": OneCycle(rise=0.1, start=1 / 32, accounting="ulmfit"),
    "stable": StableDecay(stable=InverseSqrt(), scale=Span(20, "steps"), cooldown=KDecay(k=2.0)),
}
PIECED = {
    "fractal": Schedule(lr=0.1, shape=Fractal(period=8)),
    "join": Schedule(
        lr=0.5, shape=Join(parts=(Schedule(lr=0.2), Schedule(lr=0.1, shape=SHAPES["turn"])), at=(Span(0.3),))
    ),
    "product": Schedule(lr=0.5, shape=Product(factors=(Schedule(lr=0.2, shape=SHAPES["once"]), Schedule(lr=0.1)))),
    "by_epoch": Schedule(lr=0.1, shape=Once(profile=Cosine()), sampling=Every(span=Span(1, "epochs"))),
    "at": Schedule(lr=0.1, shape=Once(profile=Cosine()), sampling=At(points=(0.5, 0.75)), warmup=WARMUPS["half_steps"]),
    "closed": Schedule(lr=0.1, shape=Once(profile=Linear()), end=0.1, accounting="closed"),
    "shifted": Schedule(lr=0.1, shape=Once(profile=Linear()), accounting="shifted", warmup=WARMUPS["next"]),
    "continued": Schedule(
        lr=0.1, shape=Once(profile=InverseSqrt(), over=Span(9, "steps"), beyond="continue"), after="continue"
    ),
    "fixed": Schedule(lr=0.1, momentum=Fixed(value=0.8)),
    "final": Schedule(lr=0.1, shape=OneCycle(), momentum=Against(final=0.9), warmup=WARMUPS["next"]),
}


def run(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace


def compare(schedule: Schedule, total_steps: int = 130, past: int = 0) -> str:
    """Every step of the exported source against the schedule; returns the source."""
    source = to_torch_source(schedule, total_steps=total_steps, steps_per_epoch=13)
    written, bound = run(source), schedule.bind(total_steps, 13)
    steps = np.arange(total_steps + past)
    expected = bound.lr(steps)
    np.testing.assert_allclose(
        [written["lr_at"](int(t)) for t in steps], expected, rtol=1e-11, atol=1e-12 * expected.max()
    )
    if schedule.momentum is not None:
        momenta = [written["momentum_at"](int(t)) for t in steps]
        np.testing.assert_allclose(momenta, bound.momentum(steps), rtol=1e-12)  # type: ignore[arg-type]
    return source


@pytest.mark.parametrize("warmup", [None, "5%", "13 steps", "2 epochs"])
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_preset_but_a_spline_is_a_closed_form_that_equals_the_schedule(name: str, warmup: str | None) -> None:
    preset = REGISTRY[name]
    if warmup is not None and "warmup" not in preset.defaults:
        pytest.skip("the preset has a rise of its own")
    schedule = preset.build(lr=0.1, **({} if warmup is None else {"warmup": warmup}))
    if schedule.needs_metric:
        pytest.skip("answers to a metric: see test_feedback_source")
    past = 0 if schedule.after == "raise" else 5
    assert ("VALUES" in compare(schedule, past=past)) == (name == "two_point_spline")


@pytest.mark.parametrize("warmup", WARMUPS.values(), ids=WARMUPS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_shape_behind_every_warmup_is_a_closed_form(shape: Any, warmup: Warmup | None) -> None:
    assert "VALUES" not in compare(Schedule(lr=0.3, shape=shape, warmup=warmup, end=0.05, momentum=Against()), past=5)


@pytest.mark.parametrize("kind", sorted(variants(Profile)))
def test_every_profile_that_can_be_built_bare_is_exported(kind: str) -> None:
    needed: dict[str, dict[str, Any]] = {"steps": {"at": (0.3, 0.6)}, "points": {"x": (0, 0.4, 1), "y": (1, 1.2, 0)}}
    profile = variants(Profile)[kind](**needed.get(kind, {}))
    assert "VALUES" not in compare(Schedule(lr=0.3, shape=Once(profile=profile)))


@pytest.mark.parametrize("schedule", PIECED.values(), ids=PIECED)
def test_samplings_accountings_and_schedules_of_schedules_are_closed_forms(schedule: Schedule) -> None:
    assert "VALUES" not in compare(schedule)


@pytest.mark.parametrize("profile", [TwoPoint(curve="spline"), Points(x=(0, 0.5, 1), y=(1, 0.2, 0), curve="spline")])
def test_what_has_no_short_form_is_an_exact_table(profile: Profile) -> None:
    schedule = Schedule(lr=0.1, shape=Once(profile=profile))
    source = compare(schedule)
    written = run(source)
    assert [written["lr_at"](t) for t in range(130)] == schedule.bind(130).lr(np.arange(130)).tolist()


def test_a_held_table_is_kept_by_its_changes() -> None:
    schedule = Schedule(lr=0.1, shape=Once(profile=TwoPoint(curve="spline")), sampling=Every(span=Span(0.1)))
    source = compare(schedule, total_steps=1000)
    assert "bisect" in source
    assert len(source) < 3000


@pytest.mark.parametrize("total_steps", [1, 2])
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_smallest_horizons_are_exported(name: str, total_steps: int) -> None:
    schedule = REGISTRY[name].build(lr=0.1)
    if schedule.needs_metric:
        pytest.skip("answers to a metric: see test_feedback_source")
    compare(schedule, total_steps=total_steps)


@pytest.mark.parametrize("build", [torch.optim.SGD, torch.optim.AdamW, torch.optim.RMSprop])
def test_the_exported_module_drives_a_real_optimizer_without_switchback(build: Any) -> None:
    schedule = REGISTRY["onecycle"].build(lr=0.1)
    source, bound = to_torch_source(schedule, total_steps=20), schedule.bind(20)
    written = run(source)
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = build([{"params": parameters[:1]}, {"params": parameters[1:], "lr_scale": 0.5}], lr=1.0)
    for step in range(20):
        written["set_schedule"](optimizer, step)
        groups = optimizer.param_groups
        assert [group["lr"] for group in groups] == pytest.approx([bound.lr(step), bound.lr(step) / 2])
        driven = groups[1]["betas"][0] if "betas" in groups[1] else groups[1]["momentum"]
        assert driven == pytest.approx(bound.momentum(step))
    assert "import schedules" not in source
    assert "from schedules" not in source


def test_the_rate_function_is_what_lambda_lr_takes() -> None:
    schedule = REGISTRY["cosine"].build(lr=0.1, warmup="10%")
    written = run(to_torch_source(schedule, total_steps=30))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, written["lr_at"])
    rates = []
    for _ in range(30):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(rates, schedule.bind(30).lr(np.arange(30)), rtol=1e-12, atol=1e-15)


def test_the_source_carries_the_schedule_it_came_from() -> None:
    schedule = REGISTRY["wsd"].build(lr=0.1, warmup="5%")
    line = next(line for line in to_torch_source(schedule, total_steps=50).splitlines() if line.startswith("# {"))
    assert from_dict(json.loads(line[2:])) == schedule


@pytest.mark.parametrize("name", ["onecycle", "cosine"])
def test_csv_reads_back_to_the_same_numbers(name: str) -> None:
    bound = REGISTRY[name].build(lr=0.1).bind(37)
    rows = list(csv.DictReader(io.StringIO(to_csv(bound))))
    assert [float(row["lr"]) for row in rows] == bound.lr(np.arange(37)).tolist()
    assert ("momentum" in rows[0]) == (bound.momentum(0) is not None)


NATIVE: dict[str, dict[str, Any]] = {
    "cosine": {"end": 0.1},
    "linear": {},
    "polynomial": {"power": 2.0, "end": 0.01},
    "exponential": {},
    "step": {"every": "26 steps"},
    "multi_step": {},
    "sgdr": {"first": "20 steps", "end": 0.1},
    "clr_triangular": {"step_size": "10 steps"},
    "clr_triangular2": {"step_size": "10 steps"},
    "clr_exp_range": {"step_size": "10 steps"},
    "onecycle": {},
    "wsd": {"warmup": "10 steps"},
    "constant": {"warmup": "10 steps"},
}
CASES = [*NATIVE.items(), ("cosine", {"warmup": "10 steps"}), ("linear", {"warmup": "10 steps"}), ("constant", {})]


def play(call: str, library: str, bound: BoundSchedule) -> list[float]:
    """The rates of the library's own scheduler, stepped as its warning says."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=bound.schedule.lr, momentum=0.9)
    with warnings.catch_warnings():
        # Their deprecations are theirs.
        warnings.simplefilter("ignore")
        top = importlib.import_module("timm.scheduler" if library == "timm" else library)
        names = {library: importlib.import_module(library), "optimizer": optimizer, "top": top}
        built = eval(call, names)
        rates = []
        for step in range(bound.total_steps):
            if library == "optax":
                rates.append(float(built(step)))
                continue
            if library == "timm":
                built.step_update(step)
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if library != "timm":
                built.step()
    return rates


@pytest.mark.parametrize("library", ["torch", "transformers", "timm", "optax"])
@pytest.mark.parametrize(("name", "params"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_native_calls_give_the_same_rates(name: str, params: dict[str, Any], library: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(library)
    schedule = REGISTRY[name].build(lr=0.1, **params)
    calls = [call for call in native_call(schedule, total_steps=140) if call.library == library]
    bound = schedule.bind(140)
    for call in calls:
        tolerance = 1e-6 if library == "optax" else 1e-9
        np.testing.assert_allclose(play(call.call, library, bound), bound.lr(np.arange(140)), rtol=tolerance, atol=1e-8)


def test_the_usual_schedules_have_a_torch_call_and_known_differences_are_told() -> None:
    calls = {
        name: native_call(REGISTRY[name].build(lr=0.1, **params), total_steps=140) for name, params in NATIVE.items()
    }
    assert {name for name, found in calls.items() if not found} == set()
    warned = {call.library: call.warning or "" for call in calls["cosine"]}
    assert "rises again" in warned["torch"]
    assert "float32" in warned["optax"]


def test_schedules_no_library_has_get_no_call() -> None:
    assert native_call(REGISTRY["rex"].build(lr=0.1), total_steps=100) == ()
    assert native_call(REGISTRY["cosine"].build(lr=0.1, sampling="50-75"), total_steps=100) == ()
