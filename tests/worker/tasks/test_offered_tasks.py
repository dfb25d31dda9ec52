"""What a worker offers here and now, and what it says of the rest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from contract.tasks import Task as Wanted
from worker import commands
from worker.tasks import TaskError, assemble

OFFLINE = ["digits/resnet38", "digits/vit_small", "sample_patches/cnn", "stdlib_chars/gpt_small"]


def listed(*arguments: str, code: int = 0) -> str:
    """What `switchback worker --list-tasks` prints."""
    app = typer.Typer()
    app.command()(commands.worker)
    result = CliRunner(env={"SWITCHBACK_DATA": None}).invoke(app, ["--list-tasks", *arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("key", OFFLINE)
def test_without_any_files_the_offline_tasks_are_offered(key: str) -> None:
    assert key in assemble().tasks()


def test_no_task_needs_files_that_are_not_there() -> None:
    assert {key.partition("/")[0] for key in assemble().tasks()} == {"digits", "sample_patches", "stdlib_chars"}


def test_every_key_offered_can_be_asked_for_over_the_wire() -> None:
    for key in assemble().tasks():
        dataset, model = key.split("/")
        assert Wanted(dataset=dataset, model=model).key == key


def test_asking_for_a_key_gives_the_task_that_is_offered() -> None:
    registry = assemble()
    assert all(registry.task(key) == task for key, task in registry.tasks().items())


def test_the_list_says_what_is_offered_and_why_the_rest_is_not() -> None:
    said = listed()
    assert "  stdlib_chars: gpt_small\n" in said
    assert re.search(r"Not offered:.*  cifar10: needs a data folder.*--download cifar10", said, re.DOTALL)


def test_the_list_reads_the_data_folder_from_the_environment_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command()(commands.worker)
    result = CliRunner(env={"SWITCHBACK_DATA": str(tmp_path)}).invoke(app, ["--list-tasks"])
    assert f"mnist: needs 4 more files in {tmp_path}" in result.output


def test_patterns_narrow_what_is_offered() -> None:
    assert listed("--only", "digits/*", "--only", "*/gpt_small").startswith(
        "6 tasks are offered:\n  digits: cnn, mlp, resnet20, resnet38, vit_small\n  stdlib_chars: gpt_small\n"
    )


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(TaskError, match=r"only: need a pattern that matches .*, got 'cifar10/\*'"):
        assemble().tasks(["cifar10/*"])


def test_a_download_without_a_folder_is_refused() -> None:
    assert "download: mnist needs a folder to go to" in listed("--download", "mnist", code=2)


def test_more_tasks_than_a_claim_may_name_are_refused_saying_how_to_narrow_them(tmp_path: Path) -> None:
    for number in range(12):
        for name in ("a", "b"):
            (tmp_path / "imagefolder" / f"set{number}" / name).mkdir(parents=True)
    app = typer.Typer()
    app.command()(commands.worker)
    result = CliRunner().invoke(app, ["--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "only: need patterns that leave at most 1000 tasks to offer" in result.output
