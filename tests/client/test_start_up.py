"""The command line starts light, and says which extra a command needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "fastapi", "sqlalchemy", "pydantic", "numpy", "httpx2")
SCRIPT = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None  # as if it were not installed
sys.argv = ["switchback", *{arguments!r}]
from client.cli import main
try:
    main()
finally:
    print([name for name in {watched!r} if sys.modules.get(name)])
"""


def start(*arguments: str, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(arguments=arguments, blocked=blocked, watched=HEAVY)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)


def test_help_imports_nothing_heavy() -> None:
    ended = start("--help")
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == "[]"


def test_a_command_of_the_client_needs_neither_torch_nor_the_service() -> None:
    ended = start("watch", "--help", blocked=("torch", "fastapi", "sqlalchemy", "uvicorn", "optuna", "scipy"))
    assert ended.returncode == 0, ended.stderr
    assert "Follow a study until it ends" in ended.stdout


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [("serve", "uvicorn", "service"), ("up", "sqlalchemy", "service")],
)
def test_a_command_that_is_not_installed_names_its_extra(command: str, missing: str, extra: str) -> None:
    ended = start(command, "--help", blocked=(missing,))
    assert ended.returncode == 2
    assert f'error: {command} needs: pip install "switchback[{extra}]"' in ended.stderr


def test_the_list_of_commands_names_what_is_missing() -> None:
    listed = start("--help", blocked=("torch",)).stdout
    assert 'pip install "switchback[worker]"' in " ".join(listed.replace("│", " ").split())
