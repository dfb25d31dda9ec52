"""Where artifacts' bytes lie: a folder of this machine, or whatever `fsspec` reaches (S3 and the like).

A store knows keys and bytes, never trials: which keys are wanted is in the table `artifacts`. A file is written aside,
sealed, and appears under its key at once and whole, or not at all. Nothing here ever looks into one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from service.errors import StartupError

CHUNK = 1_048_576
RANGE = 8 * CHUNK


class Staged(Protocol):
    """A file on its way in."""

    def write(self, data: bytes) -> None:
        """Append."""

    def seal(self) -> None:
        """All of it is on the disk, or with the store's own service, and there it stays through a loss of power."""

    def publish(self) -> None:
        """Show it under its key."""

    def discard(self) -> None:
        """Take it back, whatever has been done with it so far; never raises for what is gone already."""


class ArtifactStore(Protocol):
    """Files by key; keys are `xx/...`, made by `service.artifacts`."""

    def stage(self, key: str) -> Staged:
        """Begin a file."""

    def read(self, key: str) -> Iterator[bytes]:
        """The file in chunks; opened before this returns, so that `FileNotFoundError` comes now and not midway."""

    def delete(self, key: str) -> None:
        """Remove a file; one that is gone is no error."""

    def older_than(self, moment: datetime) -> Iterator[str]:
        """Keys last written to before `moment`; leftovers of uploads that old, which have no key, are removed."""


def open_store(address: str) -> ArtifactStore:
    """The store at a folder's path, or at a URL that fsspec knows, such as `s3://bucket/prefix`."""
    local = address.removeprefix("file://")
    return Bucket(address) if "://" in local else Folder(Path(local))


class Folder:
    """Files under `root`, made on the first upload; uploads under way in `root/incoming`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"

    def stage(self, key: str) -> Staged:
        self.incoming.mkdir(parents=True, exist_ok=True)
        return _StagedFile(self.incoming / secrets.token_hex(16), self.root / key)

    def read(self, key: str) -> Iterator[bytes]:
        file = (self.root / key).open("rb")

        def chunks() -> Iterator[bytes]:
            with file:
                while data := file.read(CHUNK):
                    yield data

        return chunks()

    def delete(self, key: str) -> None:
        (self.root / key).unlink(missing_ok=True)

    def older_than(self, moment: datetime) -> Iterator[str]:
        for path in list(self.root.glob("*/*")):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime >= moment.timestamp():
                    continue
                if path.parent == self.incoming:
                    path.unlink()
                else:
                    yield path.relative_to(self.root).as_posix()


class _StagedFile:
    """Temporary file, fsync, rename, fsync of the folder."""

    def __init__(self, temporary: Path, final: Path) -> None:
        self._temporary = temporary
        self._final = final
        self._file = temporary.open("xb")

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def seal(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def publish(self) -> None:
        if not self._final.parent.exists():
            self._final.parent.mkdir(exist_ok=True)
            _sync_folder(self._final.parent.parent)
        self._temporary.rename(self._final)
        _sync_folder(self._final.parent)

    def discard(self) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)
        self._final.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """A rename lasts through a loss of power only once its folder is written."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Bucket:
    """Objects under an fsspec URL. Parts of uploads that were cut off are the bucket's own lifecycle rule to remove."""

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise StartupError(f"artifacts: {url} needs fsspec; install it, and for S3 s3fs") from error
        try:
            # A listing that is kept would hide what other service processes have put there and removed since.
            self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise StartupError(f"artifacts: cannot use {url}: {error}") from error

    def stage(self, key: str) -> Staged:
        path = self._path(key)
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        return _StagedObject(self._fs, path)

    def read(self, key: str) -> Iterator[bytes]:
        path = self._path(key)
        size: int = self._fs.size(path)
        ranges = ((start, min(start + RANGE, size)) for start in range(0, size, RANGE))
        return (self._fs.cat_file(path, start=start, end=end) for start, end in ranges)

    def delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(key))

    def older_than(self, moment: datetime) -> Iterator[str]:
        for path in self._fs.find(self._root):
            with suppress(FileNotFoundError):
                written = self._fs.modified(path)
                written = written.replace(tzinfo=UTC) if written.tzinfo is None else written
                if written < moment:
                    yield path.removeprefix(self._root).lstrip("/")

    def _path(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}"


class _StagedObject:
    """fsspec's deferred commit: an S3 object appears when its multipart upload is completed."""

    def __init__(self, fs: Any, path: str) -> None:  # Any: fsspec carries no types
        self._fs = fs
        self._path = path
        self._file = fs.open(path, "wb", autocommit=False)

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def seal(self) -> None:
        self._file.close()

    def publish(self) -> None:
        self._file.commit()

    def discard(self) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            self._file.discard()
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path)
