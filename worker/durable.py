"""Files that are whole and on the disk, or not there at all."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile


def write(path: Path, content: bytes, *, prefix: str) -> None:
    """Put `content` at `path`, as `prefix*.part` beside it until it is whole. Raises OSError."""
    with NamedTemporaryFile(dir=path.parent, prefix=prefix, suffix=".part", delete=False) as file:
        aside = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """A new name is durable once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
