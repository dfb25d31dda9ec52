"""Quasi-random points: over every family, within every domain, evenly."""

from __future__ import annotations

from collections import Counter
from math import log10

import numpy as np
from search_studies import SPACE, study

from service.search import quasi
from service.search.space import BoundSpace, bind

STUDY = study({"method": "tpe", "trials": 10}, SPACE)
BOUND = bind(STUDY.space, STUDY.task, STUDY.budget)


def points(count: int, seed: int = 0, space: BoundSpace = BOUND) -> list[tuple[str, dict[str, object]]]:
    drawn = (quasi.point(space, seed, number) for number in range(count))
    return [(branch.family, dict(params)) for branch, params in drawn]


def test_families_take_turns() -> None:
    assert [family for family, _ in points(8)] == ["constant", "cosine", "rex", "linear"] * 2


def test_a_point_depends_on_space_seed_and_number_only() -> None:
    assert points(40)[39] == points(100)[39]
    assert points(40, seed=1)[39] != points(40, seed=2)[39]


def test_no_point_comes_twice() -> None:
    assert len({str(point) for point in points(400)}) == 400


def test_the_rate_fills_its_log_range_evenly() -> None:
    rates = [log10(float(str(params["lr"]))) for family, params in points(4 * 64) if family == "rex"]
    counts, _ = np.histogram(rates, bins=8, range=(-4, 1))
    assert list(counts) == [8] * 8


def test_every_choice_is_drawn_about_as_often() -> None:
    chosen = Counter(params["warmup"] for family, params in points(4 * 60) if family == "cosine")
    assert set(chosen) == {0.0, "5%", "10 steps"}
    assert min(chosen.values()) >= 15
