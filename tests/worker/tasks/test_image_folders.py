"""Datasets of folders of images, on small files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from worker.tasks import Dataset, TaskError
from worker.tasks.image_folders import datasets

COLOURS = {"blue": (0, 0, 250), "red": (250, 0, 0)}


def write(folder: Path, count: int, size: tuple[int, int] = (20, 12)) -> None:
    """`count` one-coloured images per class."""
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", size, colour).save(folder / name / f"{number:02}.png")


def only(data_folder: Path) -> Dataset:
    (found,) = datasets(data_folder)
    return found


def sizes(dataset: Dataset) -> list[int]:
    data = dataset.load()
    return [len(part) for part in (data.train, data.validation, data.test)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "imagefolder" / "paint-16px"


def test_three_folders_are_the_three_parts(root: Path, tmp_path: Path) -> None:
    for part, count in (("train", 12), ("val", 2), ("test", 3)):
        write(root / part, count)
    assert sizes(only(tmp_path)) == [24, 4, 6]


def test_without_val_and_test_a_tenth_of_each_class_goes_to_either(root: Path, tmp_path: Path) -> None:
    write(root, 20)
    data = only(tmp_path).load()
    assert sizes(only(tmp_path)) == [32, 4, 4]
    assert data.validation.targets.tolist() == data.test.targets.tolist() == [0, 0, 1, 1]


def test_where_only_test_is_given_the_validation_part_is_taken_from_train(root: Path, tmp_path: Path) -> None:
    write(root / "train", 10)
    write(root / "test", 3)
    assert sizes(only(tmp_path)) == [18, 2, 6]


def test_classes_are_the_folders_in_alphabetical_order_and_colours_survive(root: Path, tmp_path: Path) -> None:
    write(root, 10)
    train = only(tmp_path).load().train
    assert train.targets.tolist() == [0] * 8 + [1] * 8
    assert train.inputs.mean((2, 3)).argmax(1).tolist() == [2] * 8 + [0] * 8


@pytest.mark.parametrize(("name", "side"), [("paint", 64), ("paint-16px", 16)])
def test_images_are_squares_of_64_pixels_or_of_what_the_folders_name_says(tmp_path: Path, name: str, side: int) -> None:
    write(tmp_path / "imagefolder" / name, 10, size=(50, 80))
    found = only(tmp_path)
    assert found.signature.shape == tuple(found.load().train.inputs.shape[1:]) == (3, side, side)


def test_the_square_is_the_middle_of_the_image_scaled_by_its_shorter_side(root: Path, tmp_path: Path) -> None:
    write(root, 10)
    wide = Image.new("RGB", (48, 16), (0, 0, 0))
    wide.paste((255, 255, 255), (16, 0, 32, 16))
    wide.save(root / "blue" / "00.png")
    image = only(tmp_path).load().train.inputs[0]
    assert torch.allclose(
        image,
        ((1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225]))
        .view(3, 1, 1)
        .expand_as(image),
        atol=1e-5,
    )


def test_no_folder_no_datasets(tmp_path: Path) -> None:
    assert datasets(None) == datasets(tmp_path) == []


def test_fewer_than_two_classes_are_not_offered(root: Path) -> None:
    (root / "train" / "alone").mkdir(parents=True)
    assert "needs a folder per class, at least two" in (only(root.parents[1]).missing() or "")


def test_parts_with_other_classes_are_not_offered(root: Path, tmp_path: Path) -> None:
    write(root / "train", 1)
    (root / "val" / "green").mkdir(parents=True)
    assert "needs the classes of train/ in val/ too, got ['green']" in (only(tmp_path).missing() or "")


def test_a_name_that_cannot_go_into_a_task_is_not_offered(tmp_path: Path) -> None:
    write(tmp_path / "imagefolder" / "my images", 1)
    assert "got 'my images'" in (only(tmp_path).missing() or "")


def test_a_file_that_is_no_image_is_named(root: Path, tmp_path: Path) -> None:
    write(root, 10)
    (root / "red" / "03.png").write_text("no image")
    with pytest.raises(TaskError, match=r"red/03\.png: cannot be read as an image"):
        only(tmp_path).load()


def test_too_few_images_to_take_a_part_from_are_an_error(root: Path, tmp_path: Path) -> None:
    write(root, 5)
    with pytest.raises(TaskError, match="no image for val: need files in val"):
        only(tmp_path).load()
