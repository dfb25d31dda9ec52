"""Thinning a curve for a page: what stays shows what was there."""

from __future__ import annotations

import math

from service.points import thin


def curve(points: int) -> list[dict[str, float]]:
    return [{"train_loss": 2 + math.sin(index / 50), "lr": 0.1} for index in range(points)]


def test_a_peak_and_a_dip_of_one_point_are_kept() -> None:
    values = curve(10_000)
    values[4_321]["train_loss"], values[7_003]["train_loss"] = 50.0, 0.01
    kept = thin(values, 100)
    assert {4_321, 7_003} < set(kept)
    assert len(kept) <= 102


def test_the_last_finite_loss_before_a_divergence_and_the_last_point_are_kept() -> None:
    values = curve(3_000)
    for value in values[2_500:]:
        del value["train_loss"]
    assert {0, 2_499, 2_999} <= set(thin(values, 50))


def test_all_validations_are_kept_as_long_as_they_are_few() -> None:
    values = curve(2_000)
    validated = range(99, 2_000, 100)
    for index in validated:
        values[index]["val_loss"] = 1.0
    assert set(validated) <= set(thin(values, 100))


def test_a_metric_of_every_point_does_not_undo_the_thinning() -> None:
    values = [value | {"val_loss": 1 / (index + 1)} for index, value in enumerate(curve(5_000))]
    assert len(thin(values, 100)) <= 204


def test_a_short_curve_is_kept_whole_and_none_is_none() -> None:
    assert thin(curve(80), 100) == list(range(80))
    assert thin([], 100) == []
