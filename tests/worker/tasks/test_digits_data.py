"""The dataset `digits`."""

from __future__ import annotations

import torch

from worker.tasks.digits import load


def test_the_parts_hold_60_20_and_20_percent_of_all_1797_digits() -> None:
    data = load()
    assert [len(part) for part in (data.train, data.validation, data.test)] == [1078, 359, 360]


def test_every_part_holds_every_digit_in_the_same_proportion() -> None:
    data = load()
    shares = [torch.bincount(part.targets) / len(part) for part in (data.train, data.validation, data.test)]
    assert max((shares[0] - share).abs().max().item() for share in shares) < 0.004


def test_no_image_is_in_two_parts_more_often_than_in_the_source() -> None:
    data = load()
    rows = torch.cat([part.inputs.flatten(1) for part in (data.train, data.validation, data.test)])
    assert len(torch.unique(rows, dim=0)) == len(rows) == 1797


def test_pixels_lie_between_0_and_1_with_one_channel() -> None:
    inputs = load().train.inputs
    assert inputs.shape[1:] == (1, 8, 8)
    assert (inputs.min().item(), inputs.max().item()) == (0.0, 1.0)


def test_the_split_does_not_depend_on_the_global_generators() -> None:
    torch.manual_seed(1)
    first = load().train.targets
    torch.manual_seed(2)
    assert torch.equal(first, load().train.targets)
