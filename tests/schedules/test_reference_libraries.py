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
