"""The tree of trajectories: what is counted, who shares what, where they part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from schedules.trajectories import Node, grow

Table = NDArray[np.float64]
ROWS = st.sampled_from([(0.0, 1.0), (1.0, 1.0), (-0.0, 1.0)])
TRIALS = st.lists(st.tuples(st.sampled_from("ab"), st.lists(ROWS, min_size=1, max_size=6)), max_size=8)


def tables(trials: list[tuple[str, list[tuple[float, float]]]]) -> tuple[list[Table], list[str]]:
    return [np.array(rows) for _, rows in trials], [key for key, _ in trials]


@given(TRIALS)
def test_the_count_is_that_of_the_pasts_that_differ(trials: list[tuple[str, list[tuple[float, float]]]]) -> None:
    given_tables, keys = tables(trials)
    tree = grow(given_tables, keys)
    pasts = {
        (key, table[:step].tobytes())
        for table, key in zip(given_tables, keys, strict=True)
        for step in range(1, len(table) + 1)
    }
    assert tree.row_steps == len(pasts) == tree.widths().sum()
    assert tree.whole == sum(map(len, given_tables))


@given(TRIALS)
def test_the_path_of_every_trial_covers_its_steps_once(trials: list[tuple[str, list[tuple[float, float]]]]) -> None:
    given_tables, keys = tables(trials)
    tree = grow(given_tables, keys)
    for place, table in enumerate(given_tables):
        path = sorted((node.start, node.stop) for node in tree.nodes if place in node.members)
        assert [0, *(stop for _, stop in path)] == [*(start for start, _ in path), len(table)]


@given(TRIALS)
def test_branches_divide_the_members_that_go_on(trials: list[tuple[str, list[tuple[float, float]]]]) -> None:
    given_tables, keys = tables(trials)
    tree = grow(given_tables, keys)
    for node in tree.nodes:
        going_on = sorted(member for place in node.branches for member in tree.nodes[place].members)
        assert going_on == [member for member in node.members if len(given_tables[member]) > node.stop]
        assert all(tree.nodes[place].start == node.stop for place in node.branches)


@given(TRIALS)
def test_members_of_a_node_agree_in_every_bit_and_those_of_two_branches_do_not(
    trials: list[tuple[str, list[tuple[float, float]]]],
) -> None:
    given_tables, keys = tables(trials)
    tree = grow(given_tables, keys)
    for node in tree.nodes:
        assert len({(keys[one], given_tables[one][: node.stop].tobytes()) for one in node.members}) == 1
        openings = {given_tables[tree.nodes[place].members[0]][node.stop].tobytes() for place in node.branches}
        assert len(openings) == len(node.branches)


def test_two_decays_of_one_trunk() -> None:
    flat, early, late = np.ones((8, 1)), np.ones((8, 1)), np.ones((6, 1))
    early[3:], late[5:] = 0.5, 0.1
    tree = grow([flat, early, late])
    assert tree.nodes == (
        Node(0, 3, (0, 1, 2), (1, 4), 14),
        Node(3, 5, (0, 2), (2, 3), 6),
        Node(5, 8, (0,), (), 3),
        Node(5, 6, (2,), (), 1),
        Node(3, 8, (1,), (), 5),
    )
    assert tree.widths().tolist() == [1, 1, 1, 2, 2, 3, 2, 2]
    assert (tree.row_steps, tree.whole, tree.saving) == (14, 22, pytest.approx(4 / 11))


def test_tables_of_different_widths_share_nothing() -> None:
    assert grow([np.ones((4, 2)), np.ones((4, 4))]).row_steps == 8


def test_many_budgets_of_one_schedule_are_one_path_however_deep() -> None:
    tree = grow([np.ones((steps, 1)) for steps in range(1, 401)])
    assert (len(tree.nodes), tree.row_steps) == (400, 400)


def test_a_trajectory_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^tables: need at least one step, got none in table 1$"):
        grow([np.ones((1, 1)), np.ones((0, 1))])
