"""`switchback plan`: the count of what trials share, which is what the engine then computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from client import files
from client.cli import app
from client.display.branches import branches
from client.forest import Forest
from contract.pages import Proposal
from contract.studies import CreateStudy
from contract.tasks import task_with
from contract.trials import TrialSpec
from schedules.trajectories import grow
from service.search.preview import preview
from worker import translate
from worker.engine import Finished, Steering, Tree
from worker.tasks import assemble

STUDY = """\
name: decays
task: {dataset: digits, model: mlp, optimizer: {name: adamw}}
budget: {BUDGET}
search: {method: grid, seeds: 2}
space:
  schedules:
    - {family: wsd, decay: {choice: ["10%", "25%", "50%"]}}
    - cosine
    - reduce_on_plateau
  lr: 0.01
  weight_decay: {choice: [0.01, 0.1]}
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[..., Path]:
    def write(budget: str = "{steps: 40}") -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(STUDY.replace("{BUDGET}", budget))
        return path

    return write


def plan(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, arguments)], env={"COLUMNS": "100"})


def specification(trial: Proposal, number: int, study: CreateStudy) -> TrialSpec:
    return TrialSpec(
        id=number,
        study_id=1,
        number=number,
        task=task_with(study.task, trial.params),
        budget=study.budget,
        schedule=trial.schedule,
        seed=trial.seed,
        report_every=0,
        objective="val_loss",
    )


def test_the_count_is_what_the_engine_computes(study_file: Callable[..., Path]) -> None:
    study = files.read(str(study_file())).study()
    trials = [one for one in preview(study, 1_000).proposals if one.family != "reduce_on_plateau"]
    jobs = [translate.job(specification(one, number, study), assemble()) for number, one in enumerate(trials)]
    engine = Tree(torch.device("cpu"))
    done = [event for event in engine.run(jobs, Steering()) if isinstance(event, Finished)]
    forest = Forest(study.task, trials, steps=40, steps_per_epoch=16)
    assert len(done) == len(trials) == 16
    assert engine.row_steps == forest.count(trials).needed < forest.count(trials).whole


def test_a_plan_tells_the_count_of_each_family_and_of_all(study_file: Callable[..., Path]) -> None:
    told = json.loads(plan(study_file(), "--json").stdout)
    # Decays of 10 and 20 steps branch off the one of 4, each after a first step that is still at the peak.
    assert told["families"]["wsd"] == {"trials": 12, "row_steps": 480, "needed": 4 * (40 + 9 + 19), "saved": 0.433333}
    assert told["families"]["reduce_on_plateau"]["saved"] == 0
    assert told["together"]["trials"] == 20
    assert told["together"]["needed"] <= sum(one["needed"] for one in told["families"].values())


def test_a_plan_draws_where_trials_part(study_file: Callable[..., Path]) -> None:
    told = plan(study_file(), "--lines", "3")
    assert told.exit_code == 0, told.output
    assert "all together" in told.stdout
    assert "+--" in told.stdout or "┬──" in told.stdout
    assert "Nothing was submitted" in told.stdout


def test_fewer_trials_at_once_share_less(study_file: Callable[..., Path]) -> None:
    few, many = (json.loads(plan(study_file(), "--json", "--at-once", count).stdout) for count in (1, 64))
    assert few["claimed"]["needed"] == few["together"]["row_steps"]
    assert many["claimed"] == many["together"]


def test_epochs_are_counted_in_steps_when_their_number_is_given(study_file: Callable[..., Path]) -> None:
    told = json.loads(plan(study_file("{epochs: 3}"), "--steps-per-epoch", "16", "--json").stdout)
    assert told["steps"] == 48


def test_branches_are_drawn_from_left_to_right_each_with_the_trials_that_end_there() -> None:
    tables = [np.ones((20, 1)) for _ in range(5)]
    tables[1][10:], tables[2][15:], tables[3][15:] = 0.1, 0.2, 0.2
    drawn = branches(grow([*tables, np.ones((5, 1))]), lambda place: f"#{place}", width=21, plain=True)
    assert drawn == [
        "----------+----+-----  #5 (to step 5), #0, #4",
        "          |    `-----  #2, #3",
        "          `----------  #1",
    ]
