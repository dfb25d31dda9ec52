"""Study files: what is written is what is meant, and what is wrong is told with its line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from client.files import StudyFile, StudyFileError, read
from contract.errors import FieldError
from contract.search import Tpe
from contract.space import Range

STUDY = """\
name: rates
task: {dataset: digits, model: mlp}
budget:
  epochs: 5
search:
  method: tpe
  trials: 20
space:
  schedules:
    - cosine
    - family: rex
      d: {low: 1, high: 3}
  lr: {low: 1e-3, high: 1, log: true}
"""


def written(folder: Path, text: str, name: str = "study.yaml") -> StudyFile:
    path = folder / name
    path.write_text(text)
    return read(str(path))


def refusal(folder: Path, text: str, name: str = "study.yaml") -> str:
    with pytest.raises(StudyFileError) as raised:
        written(folder, text, name).study()
    return str(raised.value).replace(f"{folder}/", "")


def test_a_yaml_file_becomes_a_study(tmp_path: Path) -> None:
    study = written(tmp_path, STUDY).study()
    assert study.space.lr == Range(low=0.001, high=1, log=True)
    assert study.search == Tpe(method="tpe", trials=20)


def test_json_and_yaml_of_the_same_study_are_equal(tmp_path: Path) -> None:
    study = written(tmp_path, STUDY).study()
    assert written(tmp_path, study.model_dump_json(), "study.json").study() == study


@pytest.mark.parametrize(
    ("changed", "to", "told"),
    [
        ("trials: 20", "trials: 0", "study.yaml:7: search.trials: should be greater than or equal to 1, got 0"),
        ("trials: 20", "trails: 20", "study.yaml:7: search.trails: is not a field, got 20"),
        ("high: 3", "high: .inf", "study.yaml:12: space.schedules[1].d.high: must be a finite number, got inf"),
        ("high: 3", "high: 0.5", "study.yaml:12: space.schedules[1].d: low, high: need low < high, got 1, 0.5"),
        ("low: 1e-3", "low: .nan", "study.yaml:13: space.lr.low: must be a finite number, got nan"),
        ("low: 1e-3", "low: 0", "study.yaml:13: space.lr: low: a log range must not touch zero, need low > 0, got 0"),
        ("epochs: 5", "epochs: 5\n  epochs: 6", "study.yaml:5: 'epochs' is given twice"),
        ("method: tpe", "method: magic", "search.method: must be one of 'grid', 'tpe', 'range_test', got \"magic\""),
        ("  method: tpe\n", "", "study.yaml:5: search.method: is required"),
        ("name: rates\n", "", "study.yaml: name: is required"),
        ("epochs: 5", "epochs: yes", 'study.yaml:4: budget.epochs: should be a valid integer, got "yes"'),
    ],
)
def test_a_broken_rule_is_told_with_line_field_rule_and_value(tmp_path: Path, changed: str, to: str, told: str) -> None:
    assert changed in STUDY
    assert told in refusal(tmp_path, STUDY.replace(changed, to))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("augmentation: {}", "task.augmentation: need at least one of crop, flip, cutout and resizing"),
        ("augmentation: {crop: -1}", "task.augmentation.crop: should be greater than or equal to 0, got -1"),
        ("augmentation: {mixup: 1}", "task.augmentation.mixup: is not a field, got 1"),
        ("augmentation: {resizing: {initial: 1}}", "resizing.initial: should be less than 1, got 1"),
        (
            "augmentation: {resizing: {start: '80%', end: '20%'}}",
            "task.augmentation.resizing: end: need no less than start, got 20% after 80%",
        ),
        ("augmentation: {resizing: {end: soon}}", "task.augmentation.resizing.end"),
        ("precision: fp8", "task.precision: should be 'float32' or 'bf16', got \"fp8\""),
    ],
)
def test_a_broken_rule_of_the_images_or_the_precision_is_told(tmp_path: Path, given: str, told: str) -> None:
    assert told in refusal(tmp_path, STUDY.replace("model: mlp}", f"model: mlp, {given}}}"))


def test_all_broken_rules_are_told_at_once(tmp_path: Path) -> None:
    said = refusal(tmp_path, STUDY.replace("20", "-1").replace("epochs: 5", "epochs: 0"))
    assert [line.split(": ")[0] for line in said.splitlines()] == ["study.yaml:4", "study.yaml:7"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "study.yaml: must hold the fields of a study"),
        ("- 1", "got list"),
        ("name: [1", "study.yaml:1: while parsing a flow sequence"),
        ("a: &x 1\nb: *x", "study.yaml:2: aliases are not read"),
        ("a: 1\n---\nb: 2", "study.yaml:2: expected a single document"),
        ("1: a", "study.yaml:1: a key must be text"),
        ("[" * 1000, "study.yaml: is nested too deeply"),
        ("n: " + "9" * 5000, "study.yaml:1: the number is too long"),
        ("a: \x00", "study.yaml: unacceptable character"),
        ("a: !!python/object/apply:os.getcwd []", "study.yaml:1: could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_study_is_refused_in_words(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"name": "x",\n "task": }', "study.json:2: must be JSON: Expecting value"),
        ('{"name": "x", "name": "y"}', "study.json: 'name' is given twice"),
        ('{"seed":\tNaN}', "study.json:1: seed: must be a finite number, got nan"),
        ('{"seed": 1e999}', "seed: must be a finite number, got inf"),
        ('{\n\t"name": "x",\n\t"seed": -1}', "study.json:3: seed: should be greater than or equal to 0, got -1"),
    ],
)
def test_json_is_read_as_strictly(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text, "study.json")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(StudyFileError, match="No such file"):
        read(str(tmp_path / "missing.yaml"))
    with pytest.raises(StudyFileError, match="must be UTF-8, got byte 0xe9"):
        read(str(tmp_path / "latin.yaml"))


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(STUDY.encode())))
    assert read("-").study().name == "rates"


def test_a_setting_comes_on_top_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, STUDY)
    for setting in ("search.trials=40", "space.lr.low=1e-5", "space.schedules[1].d=2", "limits.max_lost=1"):
        file = file.with_setting(setting)
    study = file.study()
    assert study.model_dump(include={"search"})["search"]["trials"] == 40
    assert (study.space.lr, study.limits.max_lost) == (Range(low=1e-5, high=1, log=True), 1)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("search.trials", "--set: must be field=value"),
        ("search.trials={", "--set search.trials: must be a YAML value"),
        ("space.schedules[9]=rex", "the list has items 0 to 1, got 9"),
        ("name.first=x", "--set name.first: 'first' is no field of 'rates'"),
        ("search.trials=-4", "--set search.trials: search.trials: should be greater than or equal to 1, got -4"),
    ],
)
def test_a_setting_that_breaks_a_rule_is_named(tmp_path: Path, setting: str, told: str) -> None:
    with pytest.raises(StudyFileError) as raised:
        written(tmp_path, STUDY).with_setting(setting).study()
    assert told in str(raised.value)


def test_what_the_service_refuses_is_told_with_its_line(tmp_path: Path) -> None:
    file = written(tmp_path, STUDY)
    error = file.error([FieldError(field="space.schedules[1].d", rule="must be > 0", value="-1")])
    assert str(error) == f"{tmp_path}/study.yaml:12: space.schedules[1].d: must be > 0, got -1"


def test_json_keeps_what_yaml_would_read_otherwise(tmp_path: Path) -> None:
    data = written(tmp_path, json.dumps({"name": "\U0001f600 \t/ 1e-3"}), "study.json").data
    assert data == {"name": "\U0001f600 \t/ 1e-3"}
