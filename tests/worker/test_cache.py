"""The folder of checkpoints on a real disk."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path

import pytest

from worker.cache import FORGOTTEN_S, Cache

CONTENT = b"weights" * 1000
DIGEST = sha256(CONTENT).hexdigest()


def test_a_file_is_found_by_its_digest_and_by_a_later_worker(tmp_path: Path) -> None:
    assert Cache(tmp_path / "new" / "folder").write(CONTENT).name == f"{DIGEST}.safetensors"
    later = Cache(tmp_path / "new" / "folder")
    assert (later.read(DIGEST), later.read("ab" * 32)) == (CONTENT, None)


@pytest.mark.parametrize("damaged", [CONTENT[:-1], b"", CONTENT[:-1] + b"x"])
def test_a_damaged_file_is_not_read_but_removed(tmp_path: Path, damaged: bytes) -> None:
    cache = Cache(tmp_path)
    cache.write(CONTENT).write_bytes(damaged)
    assert cache.read(DIGEST) is None
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    cache = Cache(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        cache.write(CONTENT)
    assert list(tmp_path.iterdir()) == []


def test_what_dead_workers_left_is_removed_after_a_day_and_nobody_elses_files(tmp_path: Path) -> None:
    cache, names = Cache(tmp_path), ("thesis.safetensors", "checkpoint-abc.part", f"{'cd' * 32}.safetensors.part")
    kept = cache.write(CONTENT)
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - FORGOTTEN_S - 60,) * 2)
    Cache(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([kept.name, "thesis.safetensors"])


def test_a_folder_that_cannot_be_written_to_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cache: need a folder that can be written to, got '.*file/sub'"):
        Cache(tmp_path / "file" / "sub")
