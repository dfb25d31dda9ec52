"""Rules of the house, as checks: who commits, how long things are, what imports what at run time."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schedules", "contract", "client", "service", "worker")


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def test_one_place_commits() -> None:
    committing = [path.relative_to(ROOT).as_posix() for path in sources() if "commit(" in path.read_text()]
    assert committing == ["service/artifact_store.py", "service/database.py"]  # the first: an object of a bucket


def test_trial_states_are_written_in_one_place() -> None:
    writing = [path.name for path in sources() if "update(Trial)" in path.read_text() and "status=" in path.read_text()]
    assert sorted(writing) == ["moves.py"]


def test_no_file_is_longer_than_300_lines() -> None:
    folders = [*PACKAGES, "tests", "benchmarks", "examples"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    long = {path.name: lines for path in files if (lines := len(path.read_text().splitlines())) > 300}
    assert long == {}


def test_no_function_is_longer_than_40_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= 40
    ]
    assert long == []


def test_every_module_says_what_it_is_responsible_for() -> None:
    silent = [str(path.relative_to(ROOT)) for path in sources() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("schedules", ("torch", "pydantic", "sqlalchemy", "scipy")),
        ("client.studies", ("torch", "fastapi", "sqlalchemy")),
        ("service.app", ("torch", "httpx2")),
        ("worker.agent", ("sqlalchemy", "fastapi", "optuna")),
    ],
)
def test_importing_a_package_brings_only_what_it_may(module: str, forbidden: tuple[str, ...]) -> None:
    code = f"import {module}, sys; print(*[name for name in {forbidden!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == ""
