"""What a planner remembers of a study is what it would read anew, on both databases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from desk import Desk

from service import planner
from service.histories import Histories
from service.search.history import History
from service.search.strategy import Observation

TPE: dict[str, Any] = {
    "space": {"schedules": ["constant", "cosine"], "lr": {"low": 1e-3, "high": 1.0, "log": True}},
    "search": {"method": "tpe", "trials": 12, "startup": 4},
}


def look(desk: Desk, histories: Histories, study_id: int) -> History:
    with desk.database.read() as session:
        return histories.of(session, study_id, "minimize")


def run(desk: Desk, histories: Histories, study_id: int, trials: int) -> None:
    for number in range(trials):
        desk.complete(desk.ref(desk.claim()[0]), loss=1.0 / (1 + number))
        planner.top_up(desk.database, histories, study_id, live=timedelta(seconds=60))


def test_a_history_that_is_kept_equals_one_read_anew_after_every_trial(desk: Desk) -> None:
    study_id, kept = desk.create(**TPE), Histories()
    for trials in range(1, 12):
        run(desk, kept, study_id, 1)
        found = look(desk, kept, study_id)
        assert list(found) == list(look(desk, Histories(), study_id))
        assert sum(item.loss is not None for item in found) == trials


def test_only_what_has_changed_is_read_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id, kept = desk.create(**TPE), Histories()
    run(desk, kept, study_id, 8)
    look(desk, kept, study_id)
    told, note = list[int](), History.note

    def counted(history: History, observations: Iterable[Observation]) -> None:
        rows = list(observations)
        told.append(len(rows))
        note(history, rows)

    monkeypatch.setattr(History, "note", counted)
    desk.complete(desk.ref(desk.claim()[0]))
    assert len(look(desk, kept, study_id)) >= 9
    assert sum(told) == 1


def test_of_many_studies_the_one_asked_for_longest_ago_is_forgotten_and_read_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.histories.MOST", 2)
    numbers, kept = [desk.create(**TPE) for _ in range(3)], Histories()
    first, *_ = [look(desk, kept, study_id) for study_id in numbers]
    again = look(desk, kept, numbers[0])
    assert again is not first
    assert list(again) == list(first)
