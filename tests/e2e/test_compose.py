"""docker-compose.yml without containers: its own commands and environment, as processes over a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from postgres import PostgresServer
from processes import SWITCHBACK, free_port

from client.studies import StudyClient
from contract.studies import CreateStudy

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
STUDY = {
    "name": "composed",
    "task": {"dataset": "digits", "model": "mlp"},
    "budget": {"steps": 20},
    "space": {"schedules": ["cosine"], "lr": {"choice": [0.05, 0.1]}},
    "search": {"method": "grid"},
}


def test_every_volume_is_a_folder_that_the_image_gives_to_its_user() -> None:
    for name, service in SERVICES.items():
        if "build" not in service:
            continue
        image = (ROOT / service["build"]["dockerfile"]).read_text()
        written = [mount.split(":")[1] for mount in service.get("volumes", ()) if not mount.endswith(":ro")]
        given = image.partition("install --directory --owner switchback")[2].splitlines()[:1]
        assert set(written) <= set(" ".join(given).split()), name


@dataclass
class Composed:
    """What stands for the containers' network and volumes."""

    places: dict[str, str]

    def run(self, name: str, *command: str) -> tuple[list[str], dict[str, str]]:
        """Command line and environment of a service, or of another command in its container."""
        service = SERVICES[name]
        words = [*service.get("entrypoint", ["switchback"]), *(command or service["command"])]
        own = {key: self._here(value) for key, value in service.get("environment", {}).items()}
        return [SWITCHBACK, *map(self._here, words[1:])], os.environ | own

    def _here(self, text: str) -> str:
        for there, here in self.places.items():
            text = text.replace(there, here)
        return text

    def done(self, name: str, *command: str) -> str:
        words, environment = self.run(name, *command)
        return subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout

    @contextmanager
    def up(self, name: str) -> Iterator[None]:
        words, environment = self.run(name)
        with subprocess.Popen(words, env=environment) as process:
            yield
            process.terminate()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_set_up_trains_a_study_with_the_token_it_makes_itself(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.create("composed")
    port = str(free_port())
    database = "postgresql://switchback:${POSTGRES_PASSWORD}@postgres/switchback"
    places = {database: postgres.url("composed"), "http://service:": "http://127.0.0.1:", "8765": port}
    composed = Composed(places | {f"/{name}": str(tmp_path / name) for name in ("tokens", "artifacts")})
    (tmp_path / "tokens").mkdir()
    for _ in range(2):  # as at every `docker compose up`
        composed.done("tokens")
    token = composed.done("tokens", "create", "--role", "admin", "--name", "me").splitlines()[-1]
    monkeypatch.setenv("SWITCHBACK_TOKEN", token)
    with StudyClient(f"http://127.0.0.1:{port}") as client, composed.up("service"):
        monkeypatch.delenv("SWITCHBACK_TOKEN")  # the worker has its own
        _until_ready(port)
        with composed.up("worker"):
            study = client.wait(client.create(CreateStudy.model_validate(STUDY)).id, timeout_s=200)
    assert (study.status, study.progress.complete) == ("complete", 2)


def _until_ready(port: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError("the service did not become ready")
