"""One suite for every kind of store: a file appears whole under its key, or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from service.artifact_store import CHUNK, ArtifactStore, Folder, open_store
from service.errors import StartupError

KEY = "ab/abcd-1"


@pytest.fixture(params=["folder", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "artifacts")
    elif request.param == "memory":
        yield f"memory://{secrets.token_hex(8)}/prefix"
        fsspec.filesystem("memory").store.clear()
    else:
        yield request.getfixturevalue("bucket")


@pytest.fixture
def store(address: str) -> ArtifactStore:
    return open_store(address)


def put(store: ArtifactStore, key: str, *pieces: bytes) -> None:
    staged = store.stage(key)
    for piece in pieces:
        staged.write(piece)
    staged.seal()
    staged.publish()


def keys(store: ArtifactStore) -> list[str]:
    return list(store.older_than(datetime.now(UTC) + timedelta(seconds=5)))


def test_a_file_reads_back_as_it_was_written(store: ArtifactStore) -> None:
    data = secrets.token_bytes(CHUNK + 1)
    put(store, KEY, data[:7], data[7:])
    assert b"".join(store.read(KEY)) == data


def test_a_missing_file_is_told_before_the_first_byte(store: ArtifactStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.read(KEY)


def test_a_discarded_file_was_never_there(store: ArtifactStore) -> None:
    staged = store.stage(KEY)
    staged.write(b"half")
    staged.discard()
    assert keys(store) == []


def test_a_published_file_can_still_be_taken_back(store: ArtifactStore) -> None:
    staged = store.stage(KEY)
    staged.write(b"all")
    staged.seal()
    staged.publish()
    staged.discard()
    assert keys(store) == []


def test_removing_a_file_twice_is_removing_it_once(store: ArtifactStore) -> None:
    put(store, KEY, b"x")
    put(store, "cd/other", b"y")
    store.delete(KEY)
    store.delete(KEY)
    assert keys(store) == ["cd/other"]


def test_only_files_older_than_asked_are_listed(store: ArtifactStore) -> None:
    put(store, KEY, b"x")
    assert list(store.older_than(datetime.now(UTC) - timedelta(seconds=60))) == []
    assert keys(store) == [KEY]


@pytest.mark.parametrize("address", [pytest.param("s3", marks=pytest.mark.slow)], indirect=True)
def test_what_other_processes_put_and_removed_is_seen_at_once(store: ArtifactStore, address: str) -> None:
    put(store, KEY, b"x")
    assert keys(store) == [KEY]
    other = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    other.pipe_file(f"{address}/ab/other", b"y")
    other.rm_file(f"{address}/{KEY}")
    assert (b"".join(store.read("ab/other")), keys(store)) == (b"y", ["ab/other"])
    with pytest.raises(FileNotFoundError):
        store.read(KEY)


@pytest.mark.parametrize("address", [pytest.param("s3", marks=pytest.mark.slow)], indirect=True)
def test_an_object_of_several_parts_appears_only_when_it_is_whole(store: ArtifactStore) -> None:
    staged, data = store.stage(KEY), secrets.token_bytes(60 * CHUNK)  # s3fs sends parts of 50 MiB
    staged.write(data)
    staged.seal()
    assert keys(store) == []
    staged.publish()
    assert b"".join(store.read(KEY)) == data


def test_a_folder_shows_nothing_before_the_rename_and_removes_old_leftovers(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    store.stage(KEY).seal()
    assert (tmp_path / KEY).exists() is False
    assert keys(store) == []
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_store_that_needs_a_missing_library_is_refused_by_name() -> None:
    with pytest.raises(StartupError, match="artifacts: cannot use nowhere://bucket"):
        open_store("nowhere://bucket")
