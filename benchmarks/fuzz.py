"""Every endpoint with every kind of value, as schemathesis draws them from the service's own description.

A real service with access tokens on, three phases (boundary values, random values, sequences of calls that follow from
one another), and the checks that hold an answer against the description: no server error, no undocumented status,
media type, header or body, no body accepted that the description forbids, no call without a token.
`python -m benchmarks.fuzz [--quick] [--postgres]`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from benchmarks import Figure, publish
from contract.studies import CreateStudy
from tests.postgres import PostgresServer
from tests.processes import SWITCHBACK, Service

SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
LEFT_OUT = "positive_data_acceptance"
"""Some rules no JSON Schema can say: that a rate table fits the horizon, that a digest is that of the body."""
CASES = 10_000
GUESSED = "Unexpected response to invalid authentication"
"""Who has sent twenty wrong tokens is refused with 429 for a while, a way of refusing that schemathesis does not know;
a request let in with a wrong token has another title."""
THERE = 4
"""Studies that are there from the beginning."""
STUDY = CreateStudy.model_validate(
    {
        "name": "fuzz",
        "task": {"dataset": "digits", "model": "mlp"},
        "budget": {"epochs": 3},
        "space": {"schedules": ["cosine", "onecycle"], "lr": {"low": 0.01, "high": 1.0, "log": True, "points": 3}},
        "search": {"method": "grid", "seeds": 2},
    }
).model_dump(mode="json")


def fuzz(folder: Path, database: str, *, examples: int, least: int, seed: int) -> list[Figure]:
    """Figures of one run; what schemathesis says goes to standard error."""
    token, report = folder / "token", folder / "report.json"
    subprocess.run(
        [SWITCHBACK, "token", "create", "--role", "admin", "--output", str(token), "--database", database],
        check=True,
    )
    begun = time.monotonic()
    with Service(database, folder, "--artifacts", str(folder / "artifacts"), "--auth", "tokens") as service:
        _studies(service.url, token.read_text().strip(), more=THERE)
        command = [
            SCHEMATHESIS,
            *("--config-file", str(_configuration(folder))),
            *("run", f"{service.url}/api/v1/openapi.json"),
            *("--header", f"Authorization: Bearer {token.read_text().strip()}"),
            *("--max-examples", str(examples), "--seed", str(seed), "--workers", "2", "--no-color"),
            *("--request-timeout", "60"),  # a busy machine is not a fault of the service
            *("--exclude-checks", LEFT_OUT, "--continue-on-failure"),
            *("--report", "json", "--report-json-path", str(report)),
        ]
        hooks = {
            **os.environ,
            "SCHEMATHESIS_HOOKS": "benchmarks.fuzz_hooks",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        subprocess.run(command, check=False, stdout=sys.stderr, cwd=folder, env=hooks)
        alive = httpx2.get(f"{service.url}/readyz").status_code == 200
        made = _studies(service.url, token.read_text().strip())
    faults = [line for line in service.log.read_text().splitlines() if "ERROR" in line]
    print(*faults[-20:], sep="\n", file=sys.stderr)
    seconds = time.monotonic() - begun
    figures = _figures(json.loads(report.read_text()), least=least, seconds=seconds)
    # Where nothing was ever created, most answers were refusals, and little of the service has been reached.
    made -= THERE
    return [
        *figures,
        Figure("studies made", made, f">= {least // 1_000}"),
        Figure("ready afterwards", float(alive), ">= 1"),
    ]


def _studies(url: str, token: str, *, more: int = 0) -> int:
    """Create so many, and say how many there are."""
    address, headers = f"{url}/api/v1/studies", {"Authorization": f"Bearer {token}"}
    for _ in range(more):
        httpx2.post(address, json=STUDY, headers=headers, timeout=60).raise_for_status()
    found = httpx2.get(address, params={"limit": 1_000}, headers=headers, timeout=60)
    return len(found.raise_for_status().json()["items"])


def _figures(report: dict[str, Any], *, least: int, seconds: float) -> list[Figure]:
    cases, found = report["test_cases"], json.dumps(report["failures"])
    phases = sum(phase["status"] in {"success", "failure"} for phase in report["phases"].values())
    errors = found.count("Server error")
    refused = sum(group["count"] for group in report["failures"] if group["title"] == GUESSED)
    operations = report["operations"]
    return [
        Figure("cases", cases["generated"], f">= {least}", f"{operations['tested']} endpoints, {seconds:.0f} s"),
        Figure("endpoints never called", operations["selected"] - operations["tested"], "<= 0"),
        Figure("phases run", phases, ">= 4", ", ".join(report["phases"])),
        Figure("server errors", errors, "<= 0"),
        Figure("answers against the description", cases["unique_failures"] - errors - refused, "<= 0"),
        Figure("errors of schemathesis itself", cases["errored"] + len(report["errors"]), "<= 0"),
    ]


def _configuration(folder: Path) -> Path:
    path = folder / "schemathesis.toml"
    path.write_text("[warnings]\nenabled = false\n")
    return path


@contextmanager
def _database(folder: Path, *, postgres: bool) -> Iterator[str]:
    if not postgres:
        yield f"sqlite:///{folder}/switchback.db"
        return
    with PostgresServer() as server:
        server.create("fuzz")
        yield server.url("fuzz")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer random values")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, _database(Path(scratch), postgres=given.postgres) as database:
        examples, least = (5, CASES // 4) if given.quick else (200, CASES)
        found = fuzz(Path(scratch), database, examples=examples, least=least, seed=given.seed)
    return publish(f"fuzz{'-postgres' * given.postgres}", found)


if __name__ == "__main__":
    sys.exit(main())
