"""The command line against a real service: what it prints, where, and what it exits with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from processes import Service, free_port
from typer.testing import CliRunner

from client.cli import app

Run = Callable[..., Result]
Train = Callable[[int], None]
EXAMPLES = Path(__file__).parents[2] / "examples"

STUDY = """\
name: {name}
task: {{dataset: digits, model: mlp}}
budget: {{epochs: 5}}
search: {search}
space:
  schedules: [{families}]
  lr: {{choice: [0.01, 0.1, 1.0]}}
"""


@pytest.fixture
def run(service: Service, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SWITCHBACK_URL", service.url)
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "rates", search: str = "{method: grid}", families: str = "constant, cosine") -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(STUDY.format(name=name, search=search, families=families))
        return path

    return write


@pytest.fixture
def submitted(run: Run, study_file: Callable[..., Path]) -> Iterator[int]:
    number = int(run("submit", study_file(), "--quiet").stdout)
    yield number
    run("stop", number)


def test_submit_says_the_number_and_how_to_follow_it(run: Run, study_file: Callable[..., Path]) -> None:
    told = run("submit", study_file("mine"))
    assert told.exit_code == 0
    assert re.search(
        r"study (\d+) · mine · grid on digits/mlp.*6 trials planned\n.*#/studies/\1, or `switchback watch \1`",
        told.stdout,
    )


def test_a_setting_changes_what_is_submitted(run: Run, study_file: Callable[..., Path]) -> None:
    number = int(run("submit", study_file(), "--set", "name=changed", "-q").stdout)
    listed = json.loads(run("studies", "--json").stdout)["items"]
    assert {study["id"]: study["definition"]["name"] for study in listed}[number] == "changed"


def test_a_file_with_broken_rules_is_refused_and_nothing_submitted(run: Run, study_file: Callable[..., Path]) -> None:
    before = run("studies", "--json").stdout
    told = run("submit", study_file(search="{method: tpe, trials: 0}"))
    assert told.exit_code == 2
    assert "study.yaml:4: search.trials: should be greater than or equal to 1, got 0" in told.stderr
    assert run("studies", "--json").stdout == before


def test_what_only_the_service_knows_is_told_with_the_line_too(run: Run, study_file: Callable[..., Path]) -> None:
    told = run("submit", study_file(families="constant, cosinus"))
    assert told.exit_code == 2
    assert re.search(r"study\.yaml:6: space\.schedules\[1\].*cosinus", told.stderr)


def test_watch_ends_with_the_winner_its_drawing_and_its_code(run: Run, submitted: int, train: Train) -> None:
    train(submitted)
    told = run("watch", submitted, "--timeout", "20")
    assert told.exit_code == 0, told.output
    for expected in (
        r"complete: 6/6 trials",
        r"winner +\w+ +lr=0\.1\b",
        r"test_accuracy 0\.95",
        "[⠁-⣿]{5}",
        "def set_schedule",
    ):
        assert re.search(expected, told.stdout), expected


def test_watch_gives_up_when_its_time_is_up(run: Run, submitted: int) -> None:
    told = run("watch", submitted, "--timeout", "0.1", "--poll", "0.05")
    assert told.exit_code == 4
    assert f"study {submitted} is still running" in told.stderr


def test_a_study_stopped_without_a_trial_has_no_result(run: Run, submitted: int) -> None:
    assert "stopped" in run("stop", submitted).stdout
    told = run("watch", submitted)
    assert (told.exit_code, "no winner" in told.stdout) == (1, True)


def test_a_study_that_failed_exits_with_one_and_says_why(
    run: Run, study_file: Callable[..., Path], fail: Train
) -> None:
    settings = ("--set", "limits.max_failures_in_a_row=1", "--set", "limits.max_retries=0")
    number = int(run("submit", study_file(), "-q", *settings).stdout)
    fail(number)
    told = run("watch", number, "--timeout", "20")
    assert told.exit_code == 1
    assert re.search(r"trial \d failed: .*the data is not there", told.stdout), told.stdout


def test_best_before_any_result_exits_with_one(run: Run, submitted: int) -> None:
    told = run("best", submitted, "--json")
    assert (told.exit_code, told.stdout) == (1, "")


def test_best_as_json_and_as_code_are_what_they_say(run: Run, submitted: int, train: Train) -> None:
    train(submitted)
    best = json.loads(run("best", submitted, "--json").stdout)
    assert best["entry"]["params"]["lr"] == 0.1
    compile(run("best", submitted, "--snippet").stdout, "snippet", "exec")


def test_a_range_test_ends_with_its_suggestion_and_its_curve(
    run: Run, study_file: Callable[..., Path], train: Train
) -> None:
    path = study_file(search="{method: range_test, low: 1e-5, high: 10.0, seeds: 2}", families="")
    number = int(run("submit", path, "-q", "--set", "space={}").stdout)
    train(number)
    told = run("watch", number, "--timeout", "20")
    assert told.exit_code == 0, told.output
    for expected in ("smoothed loss over 2 seeds", r"suggestion +lr = 0\.0\d+", "1e-3", "▲"):
        assert re.search(expected, told.stdout), told.stdout


def test_studies_lists_the_newest_first(run: Run, submitted: int) -> None:
    told = run("studies", "--limit", "1")
    assert re.search(rf"{submitted} +rates +grid +digits/mlp +running", told.stdout)


@pytest.mark.parametrize("name", ["grid", "tpe", "range_test"])
def test_the_examples_can_be_previewed(run: Run, name: str) -> None:
    told = run("preview", EXAMPLES / f"{name}.yaml", "--limit", "6")
    assert told.exit_code == 0, told.output
    assert "nothing was submitted" in told.stdout


def test_preview_draws_what_is_known_and_says_of_what_answers_to_a_metric_that_it_is_not(
    run: Run, study_file: Callable[..., Path]
) -> None:
    told = run("preview", study_file(families="greedy, cosine"))
    assert re.search("[⠁-⣿]{5}", told.stdout), told.output
    assert told.stdout.count("follows the metric, not known before training") == 3


@pytest.mark.parametrize("name", ["greedy", "reduce_on_plateau"])
def test_a_family_that_answers_to_a_metric_is_explained_and_not_drawn(run: Run, name: str) -> None:
    told = run("schedules", name)
    assert "patience" in told.stdout
    assert f"{name}: follows the metric, not known before training" in told.stdout
    assert not re.search("[⠁-⣿]", told.stdout)


def test_preview_tells_the_line_of_what_does_not_fit(run: Run, study_file: Callable[..., Path]) -> None:
    told = run("preview", study_file(families="constant, cosinus"))
    assert told.exit_code == 2
    assert re.search(r"study\.yaml:6: space\.schedules\[1\].*cosinus", told.stderr)


@pytest.mark.parametrize("command", ["watch", "best", "stop"])
def test_a_study_that_does_not_exist_is_bad_input(run: Run, command: str) -> None:
    told = run(command, 999_999)
    assert told.exit_code == 2
    assert "999999" in told.stderr


def test_a_service_that_cannot_be_reached_is_told_with_the_mend(run: Run) -> None:
    told = run("--url", f"http://127.0.0.1:{free_port()}", "studies")
    assert (told.exit_code, told.stdout) == (3, "")
    assert "cannot be reached" in told.stderr
    assert "switchback up" in told.stderr


def test_the_address_of_a_command_goes_before_that_of_the_group(run: Run, service: Service) -> None:
    assert run("--url", f"http://127.0.0.1:{free_port()}", "studies", "--url", service.url).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("studies", "--url", "localhost"), "--url: must be an address such as"),
        (("best", "1", "--json", "--snippet"), "--json, --snippet: give one of them, got both"),
        (("submit", "missing.yaml"), "missing.yaml: cannot be read: No such file"),
        (("watch", "0"), "should be greater than or equal to 1"),
        (("wach", "1"), "Did you mean 'watch'?"),
    ],
)
def test_bad_input_exits_with_two_and_says_why(run: Run, arguments: tuple[str, ...], told: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
