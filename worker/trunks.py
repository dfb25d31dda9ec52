"""The trunks a worker keeps on its disk, within a budget of bytes: the least recently used go first."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray

from worker import durable
from worker.engine import Snapshot, UnfitError
from worker.snapshot_file import decode, encode

logger = logging.getLogger(__name__)

NAME = re.compile(r"(?P<origin>[0-9a-f]{64})-(?P<step>[0-9]+)-(?P<numbers>[0-9a-f]{64})\.trunk")
SEAL = 32
"""A file is the SHA-256 of what follows, then that."""

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
LEAST_S = 1.0
FORGOTTEN_S = 86_400.0
"""Unfinished files this old were left behind by a worker that died."""


def size(text: str) -> int:
    """Bytes of words such as `2GiB`. Raises ValueError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(KiB|MiB|GiB|TiB)", text.strip())
    if found is None:
        raise ValueError(f"keep-trunks: need a size such as 500MiB or 2GiB, got {text!r}")
    return int(float(found[1]) * UNITS[found[2]])


class TrunkFolder:
    """See `worker.engine.lanes.trunks.Trunks`. Workers may share the folder."""

    def __init__(self, folder: Path, budget: int, *, least_s: float = LEAST_S) -> None:
        """`budget` in bytes. Raises ValueError when the folder cannot be written to."""
        self.least_s = least_s
        self._folder, self._budget = folder, budget
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=folder):
                self._tidy()
        except OSError as error:
            raise ValueError(
                f"keep-trunks: need a folder that can be written to, got {str(folder)!r} ({error})"
            ) from error

    def keep(self, origin: str, numbers: NDArray[np.float64], make: Callable[[], Snapshot]) -> None:
        path = self._folder / f"{origin}-{len(numbers)}-{_digests(numbers, [len(numbers)])[0]}.trunk"
        if path.exists():
            self._touch(path)
            return
        try:
            content = encode(make())
            if SEAL + len(content) <= self._budget:
                durable.write(path, sha256(content).digest() + content, prefix="trunk-")
                self._trim()
        except (OSError, ValueError) as error:
            logger.warning("a trunk of %d steps cannot be kept: %s", len(numbers), error)

    def longest(self, origin: str, numbers: NDArray[np.float64]) -> Snapshot | None:
        stored = {
            (int(found["step"]), found["numbers"]): path
            for path in self._folder.glob(f"{origin}-*.trunk")
            if (found := NAME.fullmatch(path.name)) and 0 < int(found["step"]) <= len(numbers)
        }
        steps = sorted({step for step, _ in stored})
        for key in reversed(list(zip(steps, _digests(numbers, steps), strict=True))):
            if key in stored and (trunk := self._read(stored[key], origin, key[0])) is not None:
                return trunk
        return None

    def _read(self, path: Path, origin: str, step: int) -> Snapshot | None:
        """None when it is no longer there, or not what was written; then it is removed."""
        try:
            trunk = decode(_unsealed(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, UnfitError) as error:
            logger.warning("the trunk %s is not used, and removed: %s", path.name, error)
            self._remove(path)
            return None
        self._touch(path)
        return trunk if (trunk.job, trunk.step) == (origin, step) else None

    def _trim(self) -> None:
        files: list[tuple[int, int, Path]] = []
        for path in self._folder.glob("*.trunk"):
            with suppress(OSError):
                state = path.stat()
                files.append((state.st_mtime_ns, state.st_size, path))
        over = sum(length for _, length, _ in files) - self._budget
        for _, length, path in sorted(files):
            if over <= 0:
                return
            self._remove(path)
            over -= length

    def _tidy(self) -> None:
        for path in self._folder.glob("trunk-*.part"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > FORGOTTEN_S:
                    path.unlink()

    def _touch(self, path: Path) -> None:
        with suppress(OSError):
            os.utime(path)

    def _remove(self, path: Path) -> None:
        with suppress(OSError):
            path.unlink()


def _unsealed(content: bytes) -> bytes:
    if sha256(content[SEAL:]).digest() != content[:SEAL]:
        raise UnfitError("it is damaged")
    return content[SEAL:]


def _digests(numbers: NDArray[np.float64], steps: list[int]) -> list[str]:
    """SHA-256 of the first so many rows, for each of the rising `steps`."""
    digest, at, found = sha256(), 0, []
    for step in steps:
        digest.update(np.ascontiguousarray(numbers[at:step]).tobytes())
        found.append(digest.hexdigest())
        at = step
    return found
