"""Every library the golden file compares with, run again: what agreed must agree, what did not must still not.

torch is always here; Transformers, timm, optax and pytorch_optimizer are optional and skipped where not installed. What
the file read in source trees (init2winit, epfml, fastai's notebooks and the like) is no package to install.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import from_reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference_libraries import KOZISTR, OPTAX, TRANSFORMERS, Driven, by_epoch_argument, by_optax, by_timm, by_torch
from reference_libraries import by_transformers as by_hf

VECTORS = json.loads((Path(__file__).parent / "data" / "golden_schedules.json").read_text())["vectors"]

SOURCE_TREES = {"init2winit", "wolfecameron/LRSchedules", "epfml/schedules-and-scaling", "fastai"}
FLOAT32 = {"optax"}
PACKAGES = {"transformers", "timm", "optax", "pytorch_optimizer"}


def library(implementation: str) -> str:
    return implementation.partition(":")[0].partition(".")[0]


def asked(implementation: str) -> Driven:
    package, _, name = implementation.partition(".")
    if package == "torch":
        return by_epoch_argument if name.endswith(".step(epoch)") else by_torch
    pick = {"transformers": by_hf, "timm": by_timm, "optax": by_optax, "pytorch_optimizer": KOZISTR.__getitem__}
    return pick[package](name)


def cases() -> list[Any]:
    found = []
    for vector in VECTORS:
        for reference in vector.get("reference", []):
            implementation = reference["impl"]
            if library(implementation) in SOURCE_TREES:
                continue
            reason = reference.get("note", "")
            marks = [] if reference["agree"] else [pytest.mark.xfail(strict=True, reason=reason, raises=AssertionError)]
            found.append(pytest.param(vector, implementation, id=f"{vector['id']}-{implementation}", marks=marks))
    return found


@pytest.mark.parametrize(("vector", "implementation"), cases())
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_librarys_own_rates_are_ours(vector: dict[str, Any], implementation: str) -> None:
    if library(implementation) in PACKAGES:
        pytest.importorskip(library(implementation))
    steps, rates, momenta = (np.array(column) for column in zip(*vector["points"], strict=True))
    family, params, total = vector["family"], vector["params"], vector["total_steps"]
    theirs = np.array(asked(implementation)(family, params, total, int(steps.max()) + 1))
    bound = from_reference(family, params, total)
    tolerance = 1e-6 if library(implementation) in FLOAT32 else 1e-9
    np.testing.assert_allclose(theirs[steps, 0], bound.lr(steps), rtol=0, atol=tolerance * rates.max())
    if momenta[0] is not None:
        np.testing.assert_allclose(theirs[steps, 1], bound.momentum(steps), rtol=1e-9)


def test_no_reference_of_the_golden_file_is_forgotten() -> None:
    named = {reference["impl"] for vector in VECTORS for reference in vector.get("reference", [])}
    assert {library(name) for name in named} == SOURCE_TREES | PACKAGES | {"torch"}
    assert {name.partition(".")[2] for name in named if library(name) == "transformers"} <= set(TRANSFORMERS)
    assert {name.partition(".")[2] for name in named if library(name) == "optax"} <= set(OPTAX)


def torch_params() -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """A family of torch's and parameters of any size: not the golden file's only."""
    rate, count, share = st.floats(1e-4, 1), st.integers(1, 30), st.floats(0.05, 1)
    base = {"base_lr": rate}
    families: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "constant_factor": base | {"factor": share, "total_iters": count},
        "linear": base | {"start_factor": share, "end_factor": st.floats(0, 1), "total_iters": count},
        "step": base | {"step_size": count, "gamma": share},
        "multistep": base | {"milestones": st.lists(count, min_size=1, max_size=4).map(sorted), "gamma": share},
        "exponential": base | {"gamma": share},
        "polynomial": base | {"power": st.floats(0.3, 3)},
        "cosine": base | {"T_max": count, "eta_min": st.floats(0, 1e-4)},
        "cosine_warm_restarts": base | {"T_0": count, "T_mult": st.integers(1, 4), "eta_min": st.floats(0, 1e-4)},
        "cyclic": {
            "base_lr": st.floats(1e-6, 1e-4),
            "max_lr": rate,
            "step_size_up": count,
            "step_size_down": st.none() | count,
            "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
            "gamma": st.floats(0.8, 1),
            "base_momentum": st.floats(0.5, 0.8),
            "max_momentum": st.floats(0.8, 0.99),
        },
        "swa_lr": base
        | {"swa_lr": rate, "anneal_epochs": count, "anneal_strategy": st.sampled_from(["cos", "linear"])},
    }
    return st.sampled_from(sorted(families)).flatmap(
        lambda family: st.tuples(st.just(family), st.fixed_dictionaries(families[family]))
    )


@settings(max_examples=150, deadline=None)
@given(torch_params(), st.integers(2, 60))
def test_torch_agrees_for_any_parameters(case: tuple[str, dict[str, Any]], total: int) -> None:
    family, params = case
    theirs = np.array(by_torch(family, params, total, total + 5))
    bound, steps = from_reference(family, params, total), np.arange(total + 5)
    # torch works by recursion, which drifts by 1e-16 a step.
    np.testing.assert_allclose(bound.lr(steps), theirs[:, 0], rtol=0, atol=1e-11 * theirs[:, 0].max())
    if params.get("max_momentum"):
        np.testing.assert_allclose(bound.momentum(steps), theirs[:, 1], rtol=1e-11)


@settings(max_examples=60, deadline=None)
@given(st.integers(10, 80), st.floats(0.2, 0.5), st.booleans(), st.sampled_from(["cos", "linear"]))
def test_torchs_onecycle_agrees_where_it_is_sound(total: int, pct: float, three_phase: bool, anneal: str) -> None:
    params: dict[str, Any] = {"max_lr": 0.5, "total_steps": total, "pct_start": pct, "three_phase": three_phase}
    params |= {"anneal_strategy": anneal, "div_factor": 20.0, "final_div_factor": 50.0}
    params |= {"base_momentum": 0.8, "max_momentum": 0.9}
    assume(abs(pct * total - 1) > 1e-9)  # there torch divides by zero
    theirs = np.array(by_torch("onecycle", params, total, total))
    bound, steps = from_reference("onecycle", params, total), np.arange(total)
    np.testing.assert_allclose(bound.lr(steps), theirs[:, 0], rtol=0, atol=1e-11)
    np.testing.assert_allclose(bound.momentum(steps), theirs[:, 1], rtol=1e-11)
