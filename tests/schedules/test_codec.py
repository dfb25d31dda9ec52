from __future__ import annotations

import copy
from typing import Any

import pytest

from schedules import Join, Once, Schedule, ScheduleError, Span, Warmup, from_dict, profiles, to_dict

WARM = Schedule(lr=0.1, shape=Once(profile=profiles.Rex(d=0.9)), warmup=Warmup(span=Span.parse("5%")))
JOINED = Schedule(lr=0.1, shape=Join(parts=(WARM, WARM), at=(Span(500.0, "steps"),)))


def test_a_document_spells_out_every_field() -> None:
    assert to_dict(WARM) == {
        "kind": "schedule",
        "lr": 0.1,
        "shape": {
            "kind": "once",
            "profile": {"kind": "rex", "d": 0.9},
            "over": None,
            "tail": "0%",
            "beyond": "hold",
            "rising": False,
        },
        "sampling": None,
        "warmup": {
            "kind": "warmup",
            "span": "5%",
            "start": 0.0,
            "ramp": {"kind": "linear"},
            "counting": "elapsed",
            "overlay": False,
        },
        "end": 0.0,
        "accounting": "open",
        "after": "hold",
        "momentum": None,
    }


def test_defaults_may_be_left_out_and_whole_numbers_written_without_a_point() -> None:
    assert from_dict({"lr": 1}) == Schedule(lr=1.0)
    assert from_dict({"lr": 1, "shape": {"kind": "restarts", "cycles": 3}}).bind(9).lr(3) == 1.0


def edited(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The document with the value at `path` replaced, or removed when the value is `...`."""
    document = copy.deepcopy(document)
    *parents, last = path.split(".")
    place: Any = document
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("kind", "curve", "schedule.kind: need one of greedy, reduce_on_plateau, schedule, got 'curve'"),
        ("lr", ..., "schedule.lr: schedule needs this field, got nothing"),
        ("lr", "0.1", "schedule.lr: need 0 < lr, got '0.1'"),
        ("lr", True, "schedule.lr: need 0 < lr, got True"),
        ("lr", 0, "schedule.lr: need 0 < lr, got 0"),
        ("lr", float("nan"), "schedule.lr: need 0 < lr, got nan"),
        ("gamma", 0.5, "schedule.gamma: unknown field of schedule"),
        ("shape", "once", "schedule.shape: need an object, got 'once'"),
        ("shape", None, "schedule.shape: need an object, got None"),
        ("shape.parts", [], "schedule.shape.parts: need at least 1, got 0"),
        ("shape.parts", {}, "schedule.shape.parts: need a list, got {}"),
        ("shape.at", ["0 steps"], "schedule.shape.at[0]: need a span longer than nothing, got 0 steps"),
        ("shape.at", ["soon"], "schedule.shape.at[0]: need a fraction in [0, 1] or a text such as"),
        ("shape.at", [], "schedule.shape.at: need 1 for 2 parts, got 0"),
        ("shape.parts.1.shape.profile.kind", "rexx", "schedule.shape.parts[1].shape.profile.kind: need one of"),
        ("shape.parts.1.shape.profile.kind", ..., "schedule.shape.parts[1].shape.profile.kind: need one of"),
        ("shape.parts.1.shape.profile.kind", ["rex"], "schedule.shape.parts[1].shape.profile.kind: need one of"),
        ("shape.parts.1.shape.profile.d", 1, "schedule.shape.parts[1].shape.profile.d: need 0 <= d < 1, got 1"),
        ("shape.parts.0.shape.profile.beta", 1, "schedule.shape.parts[0].shape.profile.beta: unknown field of rex"),
        ("shape.parts.0.warmup.span", ..., "schedule.shape.parts[0].warmup.span: warmup needs this field"),
        ("shape.parts.0.warmup.counting", "t", "schedule.shape.parts[0].warmup.counting: need one of elapsed, next"),
        ("shape.parts.0.shape.rising", 1, "schedule.shape.parts[0].shape.rising: need true or false, got 1"),
    ],
)
def test_what_is_wrong_with_a_document_is_told_with_its_path(path: str, value: object, message: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        from_dict(edited(to_dict(JOINED), path, value))
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("document", [None, [], "cosine", 3])
def test_a_document_must_be_an_object(document: object) -> None:
    with pytest.raises(ScheduleError, match="schedule: need an object"):
        from_dict(document)


def test_a_document_that_nests_without_end_is_refused_and_does_not_exhaust_the_stack() -> None:
    document: dict[str, Any] = {"lr": 1.0}
    for _ in range(2000):
        document = {"lr": 1.0, "shape": {"kind": "product", "factors": [document]}}
    with pytest.raises(ScheduleError, match="need at most 32 levels of nesting"):
        from_dict(document)


def test_floats_are_exact() -> None:
    schedule = Schedule(lr=0.1 + 0.2, warmup=Warmup(span=Span(1 / 3)))
    assert from_dict(to_dict(schedule)) == schedule
