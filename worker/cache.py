"""The worker's folder of checkpoints: files named after their SHA-256, whole or not there."""

from __future__ import annotations

import logging
import os
import re
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from worker import durable

logger = logging.getLogger(__name__)

OURS = re.compile(r"[0-9a-f]{64}\.safetensors(\.part)?|checkpoint-.*\.part")
FORGOTTEN_S = 86_400.0
"""Files that nobody has touched for so long were left behind by a worker that died."""


def default_folder() -> Path:
    """Where programs of this user keep what can be had again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "switchback"


class Cache:
    """Several workers may share the folder: a name says all of a file's content."""

    def __init__(self, folder: Path) -> None:
        """Raises ValueError when the folder cannot be written to. Removes what was left behind."""
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=folder):
                self._tidy()
        except OSError as error:
            raise ValueError(f"cache: need a folder that can be written to, got {str(folder)!r} ({error})") from error

    def path(self, digest: str) -> Path:
        """Where the file of this SHA-256 is, or would be."""
        return self._folder / f"{digest}.safetensors"

    def write(self, content: bytes) -> Path:
        """The file appears whole and durable, or not at all. Raises OSError."""
        path = self.path(sha256(content).hexdigest())
        durable.write(path, content, prefix="checkpoint-")
        return path

    def read(self, digest: str) -> bytes | None:
        """The file of this SHA-256; None where it is not, or is no longer what it was."""
        try:
            content = self.path(digest).read_bytes()
        except OSError:
            return None
        if sha256(content).hexdigest() == digest:
            return content
        logger.warning("the file %s is damaged, and removed", self.path(digest))
        self.remove(self.path(digest))
        return None

    def remove(self, path: Path) -> None:
        with suppress(OSError):
            path.unlink()

    def _tidy(self) -> None:
        for path in self._folder.iterdir():
            with suppress(OSError):
                if OURS.fullmatch(path.name) and time.time() - path.stat().st_mtime > FORGOTTEN_S:
                    path.unlink()
