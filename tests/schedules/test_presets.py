from __future__ import annotations

import inspect
import json
from typing import Any

import numpy as np
import pytest

from schedules import ScheduleError, from_dict, to_dict
from schedules.presets import LR, REGISTRY, Parameter, Preset

PRESETS = [pytest.param(preset, id=name) for name, preset in REGISTRY.items()]
PARAMETERS = [pytest.param(p, item, id=f"{name}.{item.name}") for name, p in REGISTRY.items() for item in p.parameters]

REQUIRED = {
    "constant", "linear", "cosine", "step", "multi_step", "exponential", "polynomial", "rex", "sgdr", "clr_triangular",
    "clr_triangular2", "clr_exp_range", "onecycle", "wsd", "lr_range_test", "fractal_chebyshev", "step_30_60_90",
    "linear_to_zero", "inverse_sqrt", "noam", "tanh", "two_point_linear", "two_point_spline", "slanted_triangular",
    "grammar", "reduce_on_plateau", "greedy",
}  # fmt: skip


def test_the_fields_names_are_there() -> None:
    assert set(REGISTRY) >= REQUIRED


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_builds_with_its_defaults_and_survives_json(preset: Preset) -> None:
    schedule = preset.build(lr=0.1)
    assert from_dict(json.loads(json.dumps(to_dict(schedule)))) == schedule
    # The envelope of exp_range has already shrunk when the first cycle peaks.
    assert 0.08 < schedule.bind(1000).lr(np.arange(1002)).max() <= 0.1


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_says_what_it_is_and_where_it_comes_from(preset: Preset) -> None:
    assert preset.summary.endswith(".")
    assert all([preset.formula, preset.source, preset.name, *(item.description for item in preset.parameters)])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_presets_parameters_are_the_arguments_of_its_function(preset: Preset) -> None:
    arguments = inspect.signature(preset.function).parameters
    named = {name for name, item in arguments.items() if item.kind is not inspect.Parameter.VAR_KEYWORD} - {"lr"}
    assert named <= {item.name for item in preset.parameters}
    assert len(named) == len(preset.parameters) or preset.name == "grammar"


@pytest.mark.parametrize(("preset", "item"), PARAMETERS)
def test_every_end_of_a_default_search_domain_can_be_built_and_bound(preset: Preset, item: Parameter) -> None:
    domain: dict[str, Any] = dict(item.search or {})
    values = domain.get("choice") or [domain[end] for end in ("low", "high") if end in domain]
    for value in values:
        rates = preset.build(lr=0.1, **{item.name: value}).bind(400, 20).lr(np.arange(400))
        assert rates.min() >= 0
        assert rates.max() <= 0.1 * (1 + 1e-12)


@pytest.mark.parametrize(("preset", "item"), PARAMETERS)
def test_a_default_search_domain_is_a_range_or_a_choice_the_rule_allows(preset: Preset, item: Parameter) -> None:
    if item.search is None:
        return
    keys = set(item.search)
    assert keys in ({"low", "high"}, {"low", "high", "log"}, {"choice"})
    assert "log" not in keys or float(str(item.search["low"])) > 0


@pytest.mark.parametrize(("preset", "item"), PARAMETERS)
def test_a_parameter_refuses_what_its_rule_excludes(preset: Preset, item: Parameter) -> None:
    wrong: list[Any] = {
        "float": ["0.5", float("nan"), True],
        "int": [1.5, "2", -1],
        "bool": [1, "no"],
        "choice": ["nonsense", 3],
        "span": ["5 minutes", 7.0, True],
        "spans": ["75%, 50%", "50%, 10 steps", "", 0.5],
        "sampling": ["sometimes", "50-", "0%", "50-150", 3],
    }[item.kind]
    for value in wrong:
        with pytest.raises(ScheduleError) as refused:
            preset.build(lr=0.1, **{item.name: value})
        assert refused.value.argument == item.name


@pytest.mark.parametrize(
    ("preset", "item"),
    [p for p in PARAMETERS if p.values[1].kind in {"float", "int"}],
)
def test_a_number_is_checked_at_its_bounds(preset: Preset, item: Parameter) -> None:
    unit = 1 if item.kind == "int" else 1e-9
    inside = {"low": 0, "high": 0, "above": unit, "below": -unit}
    for bound, shift in inside.items():
        limit = getattr(item, bound)
        if limit is None:
            continue
        number = int(limit) if item.kind == "int" else limit
        assert item.check(number + shift) == number + shift
        with pytest.raises(ScheduleError, match=f"^{item.name}: need "):
            item.check(number + shift + (-unit if bound in {"low", "above"} else unit))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("cosine", {"lr": 0}, "lr: need 0 < lr, got 0"),
        ("cosine", {"lr": None}, "lr: need 0 < lr, got None"),
        (
            "cosine",
            {"warmpu": "5%"},
            "warmpu: cosine takes lr, warmup, end, sampling, power; did you mean warmup?, got '5%'",
        ),
        ("cosine", {"warmup": "120%"}, "warmup: a plain number is a fraction of the horizon"),
        ("cosine", {"power": None}, "power: need 0 < power, got None"),
        ("step", {"every": "0%"}, "every: need a span longer than nothing, got 0%"),
        ("multi_step", {"milestones": "30 epochs, 50%"}, "milestones: need one unit for all of them"),
        ("wsd", {"cooldown": "exponential"}, "end: an exponential cooldown never reaches zero: need end > 0, got 0.0"),
        ("lr_range_test", {"low": 0.1}, "low: need low < lr = 0.1, got 0.1"),
        ("inverse_sqrt", {"warmup": "0%"}, "timescale: need one where there is no warmup, got none"),
        ("fractal_chebyshev", {"period": 12}, "period: need a power of two, got 12"),
        ("onecycle", {"pct_start": 1.1}, "pct_start: need 0 <= pct_start <= 1, got 1.1"),
        ("onecycle", {"pct_start": 0.6, "three_phase": True}, "pct_start: need 0 < pct_start <= 0.5 with three_phase"),
        ("onecycle", {"pct_start": 0.0, "three_phase": True}, "pct_start: need 0 < pct_start <= 0.5 with three_phase"),
    ],
)
def test_what_a_preset_refuses_names_argument_rule_and_value(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        REGISTRY[name].build(**{"lr": 0.1} | given)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "params", "steps", "rates"),
    [
        ("cosine", {"warmup": "10%", "end": 0.1}, [0, 5, 10, 55, 100], [0, 0.5, 1, 0.55, 0.1]),
        ("step", {"every": "30 steps"}, [29, 30, 60, 90], [1, 0.1, 0.01, 0.001]),
        ("multi_step", {"milestones": "50%, 75%"}, [49, 50, 75], [1, 0.1, 0.01]),
        ("multi_step", {"milestones": "2 epochs, 4 epochs"}, [19, 20, 40], [1, 0.1, 0.01]),
        ("exponential", {"end": 0.01}, [0, 50, 100], [1, 0.1, 0.01]),
        ("rex_author", {}, [50], [0.5 / 0.55]),
        ("sgdr", {"cycles": 2, "t_mult": 1.0}, [0, 25, 50, 75, 100], [1, 0.5, 1, 0.5, 0]),
        ("sgdr", {"first": "10 steps"}, [10, 30, 70], [1, 1, 1]),
        ("linear", {"sampling": "50-75"}, [49, 50, 75, 99], [1, 0.5, 0.25, 0.25]),
        ("linear", {"sampling": "1 epochs"}, [9, 10, 99], [1, 0.9, 0.1]),
        ("wsd", {"cooldown": "linear", "decay": "20%"}, [80, 90, 100], [1, 0.5, 0]),
        ("wsd", {"cooldown": "exponential", "end": 0.01}, [80, 90, 100], [1, 0.1, 0.01]),
        ("lr_range_test", {"low": 1e-6}, [0, 33, 66, 99], [1e-6, 1e-4, 1e-2, 1]),
        ("lr_range_test", {"low": 0.01, "ramp": "linear"}, [0, 50, 99], [0.01, 0.51, 1]),
        ("onecycle_paper", {"cycle": 0.8}, [0, 40, 80, 100], [0.1, 1, 0.1, 0.001]),
        ("knee", {"explore": 0.5}, [50, 75, 100], [1, 0.5, 0]),
        ("noam", {"warmup": "25%"}, [0, 24, 99], [0.04, 1, 0.5]),
        ("factor", {"every": "10 steps", "stop": 0.85}, [9, 10, 20], [1, 0.9, 0.85]),
        ("grammar", {"shape": "cycles", "profile": "linear", "cycles": 2}, [0, 25, 50], [0, 1, 0]),
    ],
)
def test_a_preset_has_its_formulas_rates(
    name: str, params: dict[str, Any], steps: list[int], rates: list[float]
) -> None:
    bound = REGISTRY[name].build(lr=1.0, **params).bind(100, 10)
    np.testing.assert_allclose(bound.lr(steps), rates, rtol=1e-12, atol=1e-15)


def test_the_common_rate_has_a_rule_and_a_domain_too() -> None:
    assert LR.check(0.1) == 0.1
    with pytest.raises(ScheduleError, match="lr: need 0 < lr, got 0"):
        LR.check(0)


def test_parameters_state_their_rules_in_words() -> None:
    rules = {item.name: item.rule for item in REGISTRY["rex"].parameters}
    assert rules["d"] == "0 <= d < 1"
    assert REGISTRY["wsd"].parameters[3].rule.startswith("one of linear, cosine, 1-sqrt")


@pytest.mark.parametrize("name", REGISTRY)
def test_no_rate_is_below_zero_up_to_and_past_the_end(name: str) -> None:
    bound = REGISTRY[name].build(lr=0.1).bind(97, 10)
    assert (bound.lr(np.arange(bound.total_steps + 3)) >= 0).all()
