"""The monotone cubic against SciPy's, which `schedules` must not import."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules import Once, Points, Schedule, TwoPoint

interpolate = pytest.importorskip("scipy.interpolate")
U = np.linspace(0, 1, 301)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=7), st.data())
def test_the_spline_is_scipys_pchip(gaps: list[float], data: st.DataObject) -> None:
    knots = np.concatenate([[0.0], np.cumsum(gaps)]) / sum(gaps)
    knots[-1] = 1.0
    levels = data.draw(st.lists(st.floats(0, 1), min_size=len(knots), max_size=len(knots)))
    ours = Points(x=tuple(knots), y=tuple(levels), curve="spline")(U)
    with np.errstate(over="ignore"):  # scipy divides by the slopes, and Hypothesis finds those below 1e-308
        reference = interpolate.PchipInterpolator(knots, levels)(U)
    np.testing.assert_allclose(ours, reference, rtol=0, atol=1e-12)


def test_two_points_of_a_spline_are_joined_by_a_line() -> None:
    np.testing.assert_allclose(Points(x=(0, 1), y=(1, 0.5), curve="spline")(U), 1 - U / 2)


@pytest.mark.parametrize("curve", ["linear", "spline"])
@pytest.mark.parametrize(("x1", "x2"), [(0, 0), (0, 1), (1, 0), (1, 1), (1e-12, 0.5), (0.5, 1e-12)])
def test_points_that_fall_together_are_one_point(curve: str, x1: float, x2: float) -> None:
    levels = TwoPoint(y1=0.6, delta_x1=x1, delta_x2=x2, delta_y2=0.5, curve=curve)(U)
    assert np.isfinite(levels).all()
    assert levels[0] == 1.0


def test_a_curve_drawn_by_hand_may_go_up_first() -> None:
    shape = Once(profile=Points(x=(0, 0.25, 1), y=(0.1, 1, 0)))
    np.testing.assert_allclose(Schedule(lr=2.0, shape=shape).bind(8).lr([0, 1, 2, 5]), [0.2, 1.1, 2.0, 1.0])
