"""Reads a study file, YAML or JSON, and says of each broken rule in which line it stands."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pydantic import ValidationError

from client import yaml12
from client.errors import InvalidRequest, SwitchbackError, line
from client.fields import Path as FieldPath
from client.fields import broken_rules, parse, spell
from contract.errors import FieldError
from contract.studies import CreateStudy

STDIN = "-"


class StudyFileError(SwitchbackError):
    """The file cannot be read, or breaks the rules; one line for each of them, `file:line: field: rule, got value`."""


@dataclass(frozen=True, slots=True)
class StudyFile:
    """What a study file holds, before it is checked; `lines` has the line of every field, `settings` come on top."""

    name: str
    data: dict[str, object]
    lines: Mapping[FieldPath, int]
    settings: tuple[str, ...] = ()

    def study(self) -> CreateStudy:
        """The study, by the rules of the contract."""
        errors = [
            FieldError(field=spell(path), rule="must be a finite number", value=str(value))
            for path, value in _not_finite(self.data, ())
        ]
        if errors:
            raise self.error(errors)
        try:
            return CreateStudy.model_validate_json(json.dumps(self.data))
        except ValidationError as error:
            raise self.error(broken_rules(error, self.data)) from error

    def error(self, errors: Sequence[FieldError]) -> StudyFileError:
        """The broken rules, each with the place it was written at."""
        return StudyFileError("\n".join(f"{self._place(error.field)}: {line(error)}" for error in errors))

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Tells what the service refuses inside like what is found here."""
        try:
            yield
        except InvalidRequest as refused:
            if not refused.errors:
                raise
            raise self.error(refused.errors) from refused

    def _place(self, field: str) -> str:
        path = parse(field)
        for setting in self.settings:
            key = parse(setting)
            if path[: len(key)] == key:
                return f"--set {setting}"
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines[path]}" if path else self.name

    def with_setting(self, setting: str) -> StudyFile:
        """The same with one field set: `search.trials=40`, `space.lr={low: 1e-4, high: 1, log: true}`."""
        key, separator, text = setting.partition("=")
        path = parse(key.strip())
        if not separator or not path:
            raise StudyFileError(f"--set: must be field=value, such as search.trials=40, got {setting!r}")
        try:
            value, _ = yaml12.load(text)
        except (yaml.YAMLError, RecursionError) as error:
            raise StudyFileError(f"--set {key}: must be a YAML value, got {text!r}") from error
        data = _set(self.data, path, value, key.strip())
        assert isinstance(data, dict)
        return replace(self, data=data, settings=(*self.settings, key.strip()))


def read(path: str) -> StudyFile:
    """The file at `path`; `-` is standard input."""
    name = "<stdin>" if path == STDIN else path
    text = _text(path)
    try:
        data, lines = _json(text) if text.lstrip()[:1] == "{" and path.endswith((".json", "-")) else yaml12.load(text)
    except json.JSONDecodeError as error:
        raise StudyFileError(f"{name}:{error.lineno}: must be JSON: {error.msg} (column {error.colno})") from error
    except yaml.MarkedYAMLError as error:
        raise StudyFileError(f"{name}{_line_of(error)}: {_said(error)}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise StudyFileError(f"{name}: {error}") from error
    except RecursionError as error:
        raise StudyFileError(f"{name}: is nested too deeply") from error
    if not isinstance(data, dict):
        found = "nothing" if data is None else type(data).__name__
        raise StudyFileError(f"{name}: must hold the fields of a study (name, task, budget, search, ...), got {found}")
    return StudyFile(name, data, lines)


def _text(path: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise StudyFileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StudyFileError(f"{path}: must be UTF-8, got byte {raw[error.start]:#04x} at {error.start}") from error


def _json(text: str) -> tuple[object, dict[FieldPath, int]]:
    data = json.loads(text, object_pairs_hook=_each_once)
    try:
        # JSON is YAML but for tabs, which it has between its tokens only: one space each keeps the lines.
        return data, yaml12.load(text.replace("\t", " "))[1]
    except yaml.YAMLError:
        return data, {}


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} is given twice")
        found[key] = value
    return found


def _line_of(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f":{mark.line + 1}" if mark else ""


def _said(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part)


def _not_finite(value: object, path: FieldPath) -> Iterator[tuple[FieldPath, float]]:
    if isinstance(value, float) and not math.isfinite(value):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _not_finite(item, (*path, index))


def _set(into: object, path: FieldPath, value: object, key: str) -> object:
    """A copy of `into` with `value` at `path`; mappings on the way are made, list items must be there."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(into, list):
        if not (isinstance(first, int) and first < len(into)):
            raise StudyFileError(f"--set {key}: the list has items 0 to {len(into) - 1}, got {first}")
        return [_set(item, rest, value, key) if index == first else item for index, item in enumerate(into)]
    if isinstance(first, int) or not (into is None or isinstance(into, dict)):
        raise StudyFileError(f"--set {key}: {first!r} is no field of {into!r}")
    held = into or {}
    return {**held, first: _set(held.get(first), rest, value, key)}
