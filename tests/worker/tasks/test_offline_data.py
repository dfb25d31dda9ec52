"""The datasets that are on every machine: photographs' patches and the standard library's characters."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

from worker.tasks import Data, LanguageModelling, TaskError, stdlib_chars
from worker.tasks.patches import SAMPLE_PATCHES
from worker.tasks.pixels import NATURAL, standardised
from worker.tasks.stdlib_chars import LENGTH, STDLIB_CHARS, TOKENS, VOCABULARY, encode
from worker.tasks.transformers import GPT_SMALL


@pytest.fixture(scope="module")
def patches() -> Data:
    return SAMPLE_PATCHES.load()


@pytest.fixture(scope="module")
def characters() -> Data:
    return STDLIB_CHARS.load()


def test_patches_come_in_twelve_equally_frequent_classes(patches: Data) -> None:
    counts = [part.targets.bincount().tolist() for part in (patches.train, patches.validation, patches.test)]
    assert counts == [[150] * 12, [50] * 12, [50] * 12]


def test_patches_are_cut_from_the_photographs_where_their_class_says(patches: Data) -> None:
    photographs = load_sample_images().images
    block = photographs[1][64 * 5 : 64 * 6, 64 * 9 : 64 * 10]  # its lower right block: (3 * 5 + 9) mod 5 = 4, test
    corner = standardised(torch.tensor(block[:32, :32]).permute(2, 0, 1).unsqueeze(0), *NATURAL)[0]
    found = (patches.test.inputs == corner).flatten(1).all(dim=1)
    assert patches.test.targets[found].tolist() == [11]


def test_no_patch_is_in_two_parts(patches: Data) -> None:
    seen = [
        set(map(bytes, part.inputs.flatten(1).numpy())) for part in (patches.train, patches.validation, patches.test)
    ]
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]


def decoded(tokens: Tensor) -> str:
    return "".join((VOCABULARY + "?")[token] for token in tokens.tolist())


def test_windows_joined_give_the_source_files_again(characters: Data) -> None:
    source = "".join((stdlib_chars.folder() / f"{name}.py").read_text("utf-8") for name in stdlib_chars.TRAIN[:3])
    text = decoded(characters.train.inputs.flatten()[: len(source)])
    assert text == "".join(character if character in VOCABULARY else "?" for character in source)


def test_a_target_is_the_character_after_its_input(characters: Data) -> None:
    part = characters.validation
    assert torch.equal(part.inputs[:, 1:], part.targets[:, :-1])
    assert torch.equal(part.inputs[1:, 0], part.targets[:-1, -1])


def test_no_file_is_in_two_parts() -> None:
    names = [*stdlib_chars.TRAIN, *stdlib_chars.VALIDATION, *stdlib_chars.TEST]
    assert len(set(names)) == len(names)


def test_what_is_not_printable_ascii_is_one_token() -> None:
    assert encode("\n ~\té😀").tolist() == [0, 1, 95, 96, 96, 96]


def test_a_library_without_source_is_not_offered_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdlib_chars, "folder", lambda: tmp_path)
    with pytest.raises(TaskError, match="stdlib_chars: needs the standard library's source"):
        stdlib_chars.load()


def test_figures_are_means_per_character() -> None:
    task, targets = LanguageModelling(STDLIB_CHARS, GPT_SMALL), torch.zeros(3, LENGTH, dtype=torch.int64)
    sums = task.metrics(torch.zeros(3, LENGTH, TOKENS), targets)
    assert sums["loss"].item() / 3 == pytest.approx(math.log(TOKENS), rel=1e-6)
    assert sums["bits_per_char"].item() / 3 == pytest.approx(math.log2(TOKENS), rel=1e-6)


def test_the_loss_trained_on_is_the_one_reported_per_character() -> None:
    task, targets = LanguageModelling(STDLIB_CHARS, GPT_SMALL), torch.randint(TOKENS, (3, LENGTH))
    scores = torch.randn(3, LENGTH, TOKENS)
    trained = task.loss(scores, targets, label_smoothing=0.0)
    assert trained.item() == pytest.approx(task.metrics(scores, targets)["loss"].item() / 3, rel=1e-5)
