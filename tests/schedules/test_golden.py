from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import FAMILIES, from_reference

from schedules import ScheduleError, groups, scaling

FILE = json.loads((Path(__file__).parent / "data" / "golden_schedules.json").read_text())
VECTORS = FILE["vectors"]
MULTIPLIERS = {vector["id"]: vector for vector in FILE["multipliers"]}


def columns(vector: dict[str, Any]) -> tuple[Any, Any, Any]:
    return tuple(zip(*vector["points"], strict=True))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_rates_equal_the_golden_vector(vector: dict[str, Any]) -> None:
    steps, rates, _ = columns(vector)
    bound = from_reference(vector["family"], vector["params"], vector["total_steps"])
    np.testing.assert_allclose(bound.lr(np.array(steps)), rates, rtol=1e-12, atol=0)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_momentum_equals_the_golden_vector_and_is_absent_where_the_family_drives_none(vector: dict[str, Any]) -> None:
    steps, _, momenta = columns(vector)
    found = from_reference(vector["family"], vector["params"], vector["total_steps"]).momentum(np.array(steps))
    if momenta[0] is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, momenta, rtol=1e-12)


def test_every_family_of_the_file_is_covered_and_an_unknown_one_is_refused() -> None:
    assert {vector["family"] for vector in VECTORS} <= set(FAMILIES)
    with pytest.raises(ScheduleError, match=r"family: need one of .*, got 'cosin'"):
        from_reference("cosin", {}, 10)


@pytest.mark.parametrize(
    ("family", "params", "step", "rate"),
    [
        ("onecycle", {"pct_start": 0.1}, 0, 1.0),
        ("cosine_with_warmup", {"base_lr": 1.0, "warmup_steps": 0, "num_cycles": 1.0}, 5, 0.0),
        ("constant_factor", {"base_lr": 1.0, "factor": 0.5, "total_iters": 0}, 0, 1.0),
        ("exponential_transition", {"base_lr": 1.0, "transition_begin": 4}, 6, 0.5),
        ("exponential_transition", {"base_lr": 1.0, "end_value": 0.3}, 9, 0.3),
        ("inverse_sqrt", {"base_lr": 1.0, "warmup_steps": 0, "timescale": None}, 10_000, 0.5**0.5),
        ("wsd", {"decay": "exp", "min_lr_ratio": 0.25}, 7, 0.5),
        ("multistep_timm", {"base_lr": 1.0, "milestones": [1], "gamma": 0.1, "offset": 3}, 0, 0.1),
        ("two_point_spline", {"base_lr": 1.0, "x0": 0.2, "y1": 0.5}, 2, 1.0),
        ("warmup", {"convention": "poly (t/W)^3 (init2winit)"}, 2, 0.064),
        ("warmup", {"convention": "exp 1-exp(-5 t/W) (init2winit)"}, 4, 1 - np.exp(-4.0)),
        ("sampled_profile", {"base_lr": 1.0, "profile": "exp", "sampling": [0.5]}, 7, np.exp(-2.0)),
    ],
)
def test_a_familys_other_parameters_are_covered(family: str, params: dict[str, Any], step: int, rate: float) -> None:
    filled = {key: value for key, value in DEFAULTS.get(family, {}).items() if key not in params}
    assert from_reference(family, filled | params, 10).lr(step) == pytest.approx(rate, rel=1e-12, abs=1e-15)


DEFAULTS: dict[str, dict[str, Any]] = {
    "onecycle": {"max_lr": 1.0, "div_factor": 25.0, "final_div_factor": 1e4},
    "exponential_transition": {"decay_rate": 0.5, "transition_steps": 2},
    "wsd": {"base_lr": 1.0, "warmup_steps": 2, "stable_steps": 4, "decay_steps": 2},
    "two_point_spline": {"delta_x1": 0.5, "delta_x2": 0.5, "delta_y2": 0.5},
    "warmup": {"base_lr": 1.0, "warmup_steps": 5},
}


@pytest.mark.parametrize("name", ["llrd.1", "llrd.2"])
def test_layer_decay_equals_the_golden_factors(name: str) -> None:
    vector = MULTIPLIERS[name]
    factors = groups.layer_decay(vector["params"]["num_layers"], vector["params"]["layer_decay"])
    np.testing.assert_allclose(factors, vector["layer_id_to_scale"], rtol=1e-12)


def test_discriminative_rates_equal_ulmfits() -> None:
    vector = MULTIPLIERS["ulmfit_discriminative.1"]
    factors = groups.discriminative(vector["params"]["num_layers"] + 1, 1 / vector["params"]["factor"])
    np.testing.assert_allclose(factors, vector["layer_id_to_scale"], rtol=1e-12)


@pytest.mark.parametrize(("rule", "key"), [(scaling.linear, "linear"), (scaling.square_root, "sqrt")])
def test_batch_scaling_equals_the_golden_table(rule: Any, key: str) -> None:
    vector = MULTIPLIERS["linear_scaling.1"]
    for batch, rate in vector[f"points_batch_lr_{key}"]:
        assert rule(0.1, batch=batch, base_batch=256) == pytest.approx(rate, rel=1e-12)
