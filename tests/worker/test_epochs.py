"""How long an epoch is, as a plan asks before anything is trained."""

from __future__ import annotations

import pytest

from worker.epochs import steps_per_epoch


@pytest.mark.parametrize(
    ("task", "batch_size", "expected"),
    [("digits/mlp", 64, 16), ("digits/mlp", 1078, 1), ("digits/mlp", 1079, None), ("digits/none", 64, None)],
)
def test_an_epoch_has_the_steps_the_engine_makes_of_it(task: str, batch_size: int, expected: int | None) -> None:
    assert steps_per_epoch(task, batch_size) == expected
