"""YAML as version 1.2 means it."""

from __future__ import annotations

import pytest

from client.yaml12 import load


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("+3", 3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("on", "on"),
        ("no", "no"),
        ("True", True),
        ("~", None),
        ("5%", "5%"),
        ("500 steps", "500 steps"),
        ("'1e-3'", "1e-3"),
    ],
)
def test_a_scalar_is_what_version_1_2_says(text: str, value: object) -> None:
    found, _ = load(f"x: {text}")
    assert found == {"x": value}
    assert type(found["x"]) is type(value)  # type: ignore[index]  # it equals a mapping


def test_every_field_knows_its_line() -> None:
    _, lines = load("a: 1\nb:\n  - c: 2\n  -\n    d: [3,\n      4]\n")
    assert {path: line for path, line in lines.items() if len(path) != 2} == {
        ("a",): 1,
        ("b",): 2,
        ("b", 0, "c"): 3,
        ("b", 1, "d"): 5,
        ("b", 1, "d", 0): 5,
        ("b", 1, "d", 1): 6,
    }
