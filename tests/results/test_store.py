"""Writes that are whole or did not happen."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from raygrid.errors import UsageError
from raygrid.results.store import STAGING, LocalStore, open_store


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "results")


def files(store):
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def test_opening_a_store_leaves_no_trace(store):
    assert not store.exists("a") and list(store.list("trials")) == [] and not store.root.exists()


def test_the_first_write_stands(store):
    assert store.put_if_absent("trials/aa/x", b"first")
    assert not store.put_if_absent("trials/aa/x", b"second")
    assert store.get("trials/aa/x") == b"first"
    assert files(store) == ["trials/aa/x"]


def test_one_of_many_writers_wins_and_its_bytes_are_whole(store):
    contents = [bytes([i]) * 100_000 for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(lambda content: store.put_if_absent("x", content), contents))
    assert [store.get("x")] == [content for content, won in zip(contents, wrote, strict=True) if won]


def test_put_replaces(store):
    store.put("status.json", b"1")
    store.put("status.json", b"2")
    assert store.get("status.json") == b"2" and files(store) == ["status.json"]


def test_lists_names_below_a_folder_only(store):
    for name in ("trials/aa/1", "trials/bb/2", "crafts/aa/3", "raygrid.json"):
        store.put(name, b"")
    assert sorted(store.list("trials")) == ["trials/aa/1", "trials/bb/2"]


def test_delete_is_content_with_nothing_to_delete(store):
    store.put("x", b"")
    store.delete("x")
    store.delete("x")
    assert not store.exists("x")


@pytest.mark.parametrize("write", ["put", "put_if_absent"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=["disk full", "disk quota used up"])
def test_a_full_disk_is_named_and_nothing_half_written_stays(store, monkeypatch, request, write, code):
    def full(descriptor):
        raise OSError(code, os.strerror(code))

    store.put("trials/aa/before", b"kept")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=request.node.callspec.id.partition("-")[0]):
        getattr(store, write)("trials/aa/x", b"content")
    assert files(store) == ["trials/aa/before"]


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "results").write_text("not a folder")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        LocalStore(tmp_path / "results").put("x", b"")


def test_a_fault_that_no_person_can_mend_is_no_usage_error(store, monkeypatch):
    def broken(descriptor):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="input/output"):
        store.put("x", b"")
    assert list((store.root / STAGING).iterdir()) == []


def test_a_missing_name_raises(store):
    with pytest.raises(FileNotFoundError):
        store.get("x")


def test_opens_local_paths_and_file_uris(tmp_path):
    spaced = tmp_path / "my results"
    assert open_store(spaced).root == open_store(str(spaced)).root == open_store(spaced.as_uri()).root == spaced


@pytest.mark.parametrize("uri", ["s3://bucket/run", "gs://bucket", "file://server/share"])
def test_says_that_other_stores_are_not_built_yet(uri):
    with pytest.raises(UsageError, match="not built yet; name a local folder"):
        open_store(uri)
