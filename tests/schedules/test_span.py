from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules import ScheduleError, Span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("5%", Span(0.05)),
        ("33.3%", Span(0.333)),
        (" 0.5 % ", Span(0.005)),
        (0.05, Span(0.05)),
        (0, Span(0.0)),
        (1, Span(1.0)),
        ("500 steps", Span(500.0, "steps")),
        ("1 step", Span(1.0, "steps")),
        ("1e3steps", Span(1000.0, "steps")),
        ("5 epochs", Span(5.0, "epochs")),
        ("0.5 epoch", Span(0.5, "epochs")),
        (Span(0.2), Span(0.2)),
    ],
)
def test_every_spelling_is_read(text: Any, span: Span) -> None:
    assert Span.parse(text) == span


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "5",
        "0.05",
        "-5%",
        "5 minutes",
        "101%",
        "steps",
        "5 %%",
        1.5,
        500,
        -0.1,
        float("nan"),
        True,
        None,
        [5],
        "inf%",
    ],
)
def test_anything_else_is_refused(wrong: Any) -> None:
    with pytest.raises(ScheduleError, match="span: "):
        Span.parse(wrong)


def test_a_number_of_steps_must_say_so() -> None:
    with pytest.raises(ScheduleError, match=r"a plain number is a fraction .* 0 <= fraction <= 1, got 500"):
        Span.parse(500)


def test_a_unit_must_be_known() -> None:
    unit: Any = "weeks"
    with pytest.raises(ScheduleError, match="unit: need one of fraction, steps, epochs, got 'weeks'"):
        Span(1.0, unit)


@given(st.floats(0, 1), st.sampled_from(["fraction", "steps", "epochs"]))
def test_its_text_is_read_back_to_an_equal_span(value: float, unit: Any) -> None:
    assert Span.parse(Span(value, unit).to_json()) == Span(value, unit)


@pytest.mark.parametrize(("span", "text"), [(Span(0.05), "5%"), (Span(500.0, "steps"), "500 steps")])
def test_its_text_is_short(span: Span, text: str) -> None:
    assert span.to_json() == str(span) == text


@pytest.mark.parametrize(
    ("span", "steps"), [("7%", 7.0), ("4.5%", 4.5), ("30 steps", 30.0), ("2 epochs", 50.0), ("0.5 epochs", 12.5)]
)
def test_its_length_is_exact_and_whole_where_only_rounding_stood_between(span: str, steps: float) -> None:
    assert Span.parse(span).steps(100, 25) == steps
