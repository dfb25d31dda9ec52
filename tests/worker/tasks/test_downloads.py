"""MNIST, Fashion-MNIST and CIFAR, read from small files in the format they are published in."""

from __future__ import annotations

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets as published

from worker.tasks import TaskError, assemble
from worker.tasks.downloads import SOURCES, fetch, load

ROWS = np.random.default_rng(0)


def write_idx(path: Path, values: np.ndarray) -> None:
    """The format of the MNIST files: a magic number with type and dimensions, sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
    path.write_bytes(head + values.astype(np.uint8).tobytes())


def write_mnist(folder: Path, name: str, train: int = 40, test: int = 10) -> np.ndarray:
    """Files of `name`; the training images."""
    images = ROWS.integers(0, 256, (train, 28, 28))
    for part, pixels in (("train", images), ("t10k", ROWS.integers(0, 256, (test, 28, 28)))):
        write_idx(folder / name / "raw" / f"{part}-images-idx3-ubyte", pixels)
        write_idx(folder / name / "raw" / f"{part}-labels-idx1-ubyte", np.arange(len(pixels)) % 10)
    return images


def write_batch(path: Path, content: dict[str, object]) -> str:
    """A pickled batch of the CIFAR files, and its MD5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return hashlib.md5(path.read_bytes()).hexdigest()


def pixels(count: int) -> np.ndarray:
    return ROWS.integers(0, 256, (count, 3072), dtype=np.uint8)


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five batches of 20 and a test batch of 10, with torchvision's list of checksums set to theirs."""
    base, names = tmp_path / "cifar-10-batches-py", [f"data_batch_{number}" for number in range(1, 6)]
    sums = [write_batch(base / name, {"data": pixels(20), "labels": list(range(10)) * 2}) for name in names]
    test = write_batch(base / "test_batch", {"data": pixels(10), "labels": list(range(10))})
    meta = write_batch(base / "batches.meta", {"label_names": list("abcdefghij")})
    monkeypatch.setattr(published.CIFAR10, "train_list", [list(pair) for pair in zip(names, sums, strict=True)])
    monkeypatch.setattr(published.CIFAR10, "test_list", [["test_batch", test]])
    monkeypatch.setattr(published.CIFAR10, "meta", published.CIFAR10.meta | {"md5": meta})
    return tmp_path


@pytest.fixture
def cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base = tmp_path / "cifar-100-python"
    train = write_batch(base / "train", {"data": pixels(100), "fine_labels": list(range(100))})
    test = write_batch(base / "test", {"data": pixels(10), "fine_labels": list(range(10))})
    meta = write_batch(base / "meta", {"fine_label_names": [str(number) for number in range(100)]})
    monkeypatch.setattr(published.CIFAR100, "train_list", [["train", train]])
    monkeypatch.setattr(published.CIFAR100, "test_list", [["test", test]])
    monkeypatch.setattr(published.CIFAR100, "meta", published.CIFAR100.meta | {"md5": meta})
    return tmp_path


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_every_tenth_training_image_is_validated_on_and_the_official_test_set_is_the_test_part(
    tmp_path: Path, name: str, folder: str
) -> None:
    write_mnist(tmp_path, folder)
    data = load(name, tmp_path)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [36, 4, 10]
    assert data.validation.targets.tolist() == [9, 9, 9, 9]


def test_pixels_are_standardised_with_the_published_mean_and_deviation(tmp_path: Path) -> None:
    images = write_mnist(tmp_path, "MNIST")
    expected = (torch.tensor(images[9]) / 255 - 0.1307) / 0.3081
    assert torch.allclose(load("mnist", tmp_path).validation.inputs[0, 0], expected.float(), atol=1e-6)


def test_cifar10_is_read_from_its_five_batches(cifar10: Path) -> None:
    data = load("cifar10", cifar10)
    assert [tuple(part.inputs.shape) for part in (data.train, data.validation, data.test)] == [
        (90, 3, 32, 32),
        (10, 3, 32, 32),
        (10, 3, 32, 32),
    ]


def test_cifar_images_keep_channels_rows_and_columns_in_place(cifar10: Path) -> None:
    with (cifar10 / "cifar-10-batches-py" / "test_batch").open("rb") as file:
        raw = torch.tensor(pickle.load(file)["data"][3]).view(3, 32, 32)
    mean, deviation = (
        torch.tensor(values).view(3, 1, 1) for values in (SOURCES["cifar10"].mean, SOURCES["cifar10"].deviation)
    )
    assert torch.allclose(load("cifar10", cifar10).test.inputs[3], (raw / 255 - mean) / deviation, atol=1e-5)


def test_cifar100_has_its_hundred_fine_classes(cifar100: Path) -> None:
    data = load("cifar100", cifar100)
    assert torch.cat([data.train.targets, data.validation.targets]).unique().numel() == 100


def test_a_dataset_is_offered_as_soon_as_its_files_are_there(tmp_path: Path) -> None:
    assert "mnist/mlp" not in assemble(folder=tmp_path).tasks()
    write_mnist(tmp_path, "MNIST")
    assert "mnist/mlp" in assemble(folder=tmp_path).tasks()


@pytest.mark.parametrize("with_folder", [True, False])
def test_asked_for_a_dataset_that_is_not_there_it_says_how_to_get_it(tmp_path: Path, with_folder: bool) -> None:
    registry = assemble(folder=tmp_path if with_folder else None)
    with pytest.raises(TaskError, match=r"cannot be trained here: cifar10 needs .* --download cifar10"):
        registry.task("cifar10/cnn")


def test_a_file_cut_short_is_an_error_that_names_the_dataset(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0")
    with pytest.raises(TaskError, match=r"mnist: the files in .* cannot be read"):
        load("mnist", tmp_path)


def test_files_whose_checksum_is_not_the_published_one_are_refused(cifar10: Path) -> None:
    write_batch(cifar10 / "cifar-10-batches-py" / "test_batch", {"data": pixels(10), "labels": [0] * 10})
    with pytest.raises(TaskError, match=r"cifar10: the files in .* cannot be read"):
        load("cifar10", cifar10)


def test_a_download_that_finds_the_files_there_leaves_them_alone(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*ubyte")}
    fetch("mnist", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*ubyte")} == before


def test_a_download_that_fails_is_an_error_that_names_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(TaskError, match="download: mnist cannot be fetched into"):
        fetch("mnist", tmp_path)


@pytest.mark.parametrize(("name", "said"), [("imagenet", "need one of mnist, "), ("mnist", "needs a folder to go to")])
def test_a_download_needs_a_known_name_and_a_folder(name: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        fetch(name, None)
