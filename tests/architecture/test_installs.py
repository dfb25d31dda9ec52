"""Each image's packages, installed into an environment of their own: what must be there is, what must not is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

INSTALLS = [
    ("", ["client.cli", "client.studies", "schedules"], ["torch", "sqlalchemy", "fastapi", "scipy"], "submit"),
    ("[service]", ["service.app", "service.commands"], ["torch", "torchvision", "sklearn"], "serve"),
    ("[worker]", ["worker.agent", "worker.commands"], ["sqlalchemy", "fastapi", "alembic"], "worker"),
]


@pytest.mark.parametrize(("extra", "modules", "absent", "command"), INSTALLS, ids=["plain", "service", "worker"])
def test_an_installation_has_its_own_commands_and_no_other_side_s_libraries(
    tmp_path: Path, extra: str, modules: list[str], absent: list[str], command: str
) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    bin_ = tmp_path / "venv" / "bin"
    source = tmp_path / "source"  # as the Dockerfiles do: what is tracked, and no build folder beside the sources
    source.mkdir()
    tracked = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD"], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(source)], input=tracked, check=True)
    subprocess.run([str(bin_ / "pip"), "install", "--quiet", f"{source}{extra}"], check=True)
    code = (
        "import importlib, importlib.util as u, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print([name for name in {absent!r} if u.find_spec(name)])"
    )
    found = subprocess.run([str(bin_ / "python"), "-I", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    told = subprocess.run([str(bin_ / "switchback"), command, "--help"], capture_output=True, text=True, check=True)
    assert command in told.stdout
