"""The main job with the service killed in the middle: a grid, a TPE search and a range test, by two real workers."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import Service, Workers

from client.studies import StudyClient
from contract.studies import CreateStudy, StudyView

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TASK = {"dataset": "digits", "model": "mlp", "batch_size": 128}
GRID: dict[str, Any] = {
    "name": "grid of 24",
    "task": TASK,
    "budget": {"epochs": 2},
    "space": {"schedules": ["constant", "cosine", "rex"], "lr": {"low": 1e-3, "high": 1.0, "log": True, "points": 8}},
    "search": {"method": "grid"},
}
TPE: dict[str, Any] = {
    "name": "TPE of 40",
    "task": TASK,
    "budget": {"epochs": 2},
    "space": {
        "schedules": ["constant", "linear", "cosine", "onecycle", {"family": "rex", "d": {"low": 0.0, "high": 0.9}}],
        "lr": {"low": 1e-3, "high": 1.0, "log": True},
    },
    "search": {"method": "tpe", "trials": 40},
}
RANGE: dict[str, Any] = {
    "name": "range test",
    "task": TASK,
    "budget": {"steps": 200},
    "search": {"method": "range_test", "seeds": 3},
}


@dataclass
class Farm:
    service: Service
    client: StudyClient
    database: Path

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            found = connection.execute(query, values).fetchall()
        connection.close()
        return found

    def run_through_a_kill(self, request: dict[str, Any], *, after: int) -> StudyView:
        """Submit, kill the service once `after` trials are done and more are running, restart, wait for the end."""
        study_id = self.client.create(CreateStudy.model_validate(request)).id
        until = time.monotonic() + 90
        while (now := self.client.get(study_id).progress).complete + now.diverged < after or now.leased == 0:
            assert time.monotonic() < until, f"no progress: {now}"
            time.sleep(0.02)
        self.service.kill()
        time.sleep(1.0)
        self.service.start()
        return self.client.wait(study_id, timeout_s=120)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("farm")
    database = folder / "switchback.db"
    service = Service(f"sqlite:///{database}", folder, "--lease-ttl", "10", "--sweep", "0.5")
    with service, Workers(service.url, folder, 2, "--engine", "solo"), StudyClient(service.url) as client:
        yield Farm(service, client, database)


@pytest.mark.parametrize(("request_", "after", "trials"), [(GRID, 8, 24), (TPE, 15, 40), (RANGE, 1, 3)])
def test_a_kill_in_the_middle_loses_no_trial_and_doubles_none(
    farm: Farm, request_: dict[str, Any], after: int, trials: int
) -> None:
    study = farm.run_through_a_kill(request_, after=after)
    ended = study.progress.complete + study.progress.diverged
    assert (study.status, ended, study.progress.failed) == ("complete", trials, 0)
    completions = farm.rows(
        "select t.number, sum(a.outcome in ('complete', 'diverged')) from trials t "
        "join attempts a on a.trial_id = t.id where t.study_id = ? group by t.id order by t.number",
        study.id,
    )
    assert completions == [(number, 1) for number in range(trials)]
    unfinished = farm.rows(
        "select t.number from trials t where t.study_id = ? and t.status = 'complete' and not exists "
        "(select 1 from points p where p.trial_id = t.id and p.attempt = t.attempt and p.step = t.total_steps)",
        study.id,
    )
    assert unfinished == []


def test_the_kills_cost_no_lease(farm: Farm) -> None:
    assert farm.rows("select count(*) from attempts where outcome = 'lost'") == [(0,)]


def test_each_cell_of_the_grid_was_run_once(farm: Farm) -> None:
    cells = farm.rows("select count(distinct config), count(*) from trials where study_id = 1")
    assert cells == [(24, 24)]


def test_tpe_searched_at_least_five_families_and_beat_the_median_of_the_grid(farm: Farm) -> None:
    assert farm.rows("select count(distinct family) from trials where study_id = 2")[0][0] >= 5
    grid = [value for (value,) in farm.rows("select objective from trials where study_id = 1 order by objective")]
    finite = [value for value in grid if value is not None]
    best = farm.rows("select min(objective) from trials where study_id = 2")[0][0]
    assert best < finite[len(finite) // 2]
