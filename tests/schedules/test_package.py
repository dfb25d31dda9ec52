"""The package as a whole: what importing it brings in, and the examples in its docstrings."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import pytest

import schedules

LIGHT = [item.name for item in iter_modules(schedules.__path__) if item.name not in {"torch"} and not item.ispkg]


def test_importing_schedules_and_its_presets_brings_in_nothing_but_numpy() -> None:
    code = "import sys, schedules, schedules.presets; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "schedules"} <= set(loaded)
    assert not {"torch", "pydantic", "sqlalchemy", "scipy", "matplotlib", "plotly", "contract"} & set(loaded)


@pytest.mark.parametrize("name", LIGHT)
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(import_module(f"schedules.{name}")).failed == 0


def test_every_public_name_can_be_imported() -> None:
    assert all(hasattr(schedules, name) for name in schedules.__all__)


def test_every_module_says_what_it_is_responsible_for() -> None:
    for name in LIGHT:
        assert (import_module(f"schedules.{name}").__doc__ or "").strip()
