"""Domains: any number in [0, 1) lands in them."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.search.domains import Interval, Options

unit = st.floats(min_value=0, max_value=1, exclude_max=True)
ends = st.tuples(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9)).filter(lambda pair: pair[0] < pair[1])


@settings(deadline=None)
@given(u=unit, ends=ends, log=st.booleans())
def test_a_number_drawn_from_a_range_lies_in_it(u: float, ends: tuple[float, float], log: bool) -> None:
    domain = Interval(low=ends[0], high=ends[1], log=log, integer=False, points=None)
    assert domain.low <= float(domain.at(u)) <= domain.high


@settings(deadline=None)
@given(u=unit, low=st.integers(1, 1000), width=st.integers(1, 1000), log=st.booleans())
def test_a_whole_number_drawn_from_a_range_lies_in_it_and_is_whole(u: float, low: int, width: int, log: bool) -> None:
    value = Interval(low=low, high=low + width, log=log, integer=True, points=None).at(u)
    assert type(value) is int
    assert low <= value <= low + width


def test_whole_numbers_are_equally_likely_ends_included() -> None:
    domain = Interval(low=1, high=5, log=False, integer=True, points=None)
    drawn = Counter(domain.at(u) for u in np.linspace(0, 1, 1000, endpoint=False))
    assert set(drawn) == {1, 2, 3, 4, 5}
    assert max(drawn.values()) - min(drawn.values()) <= 1


@settings(deadline=None)
@given(u=unit, count=st.integers(1, 50))
def test_an_option_is_one_of_the_listed(u: float, count: int) -> None:
    domain = Options(tuple(range(count)))
    assert domain.at(u) == int(u * count)


def test_one_and_true_stand_at_different_places() -> None:
    domain = Options((True, 1, 1.0, "1"))
    assert [domain.position(value) for value in (True, 1, 1.0, "1")] == [0, 1, 2, 3]
