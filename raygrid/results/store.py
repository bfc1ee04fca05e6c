"""Where bytes are kept under names: a small protocol and the local folder that fulfills it. Knows nothing of tables.

A name is a relative path with forward slashes. A write is whole or it did not happen: bytes are written beside, flushed
to the disk and then linked into place (7 ms a commit with 8 writers at once on a local disk).
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from raygrid.errors import UsageError

STAGING = ".staging"
"""Scratch for commits: outside every dataset folder, since readers that scan a folder choke on foreign files."""

MISHAPS = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk quota used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission to write",
    errno.EPERM: "not permitted (a commit needs a file system with hard links)",
    errno.ENOTSUP: "the file system has no hard links, which a commit needs",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a part of the path is a file, not a folder",
    errno.ENOENT: "no folder can be made there",
}
"""What a person can mend; any other OSError is a fault."""


class Store(Protocol):
    """Named bytes with atomic writes."""

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Write unless the name is taken, whoever else tries at the same time. Return whether this call wrote."""

    def put(self, name: str, content: bytes) -> None:
        """Write or replace, atomically."""

    def get(self, name: str) -> bytes:
        """Return the content.

        Raises:
            FileNotFoundError: no such name.
        """

    def list(self, prefix: str) -> Iterator[str]:
        """Yield every name below the folder `prefix`, in no order; nothing where there is no such folder."""

    def exists(self, name: str) -> bool:
        """Say whether the name is taken."""

    def delete(self, name: str) -> None:
        """Remove the name; nothing happens where there is none."""

    def prune(self) -> None:
        """Remove folders that hold nothing: scratch, and of a store whose folder was made here all, with that folder."""

    def locate(self, name: str) -> str:
        """Return the path or URI by which other readers (DuckDB, Arrow) reach the name."""


class LocalStore:
    """A folder of the local file system, or of one that is mounted and has hard links. Created by the first write."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        self._made = False  # whether the folder was made here, and not by a person

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """See Store."""
        with self._staged(name, content) as staged:
            try:
                os.link(staged, self.root / name)
            except FileExistsError:
                return False
            return True

    def put(self, name: str, content: bytes) -> None:
        """See Store."""
        with self._staged(name, content) as staged:
            staged.replace(self.root / name)

    def get(self, name: str) -> bytes:
        """See Store."""
        return (self.root / name).read_bytes()

    def list(self, prefix: str) -> Iterator[str]:
        """See Store. 1e5 names take about 0.2 s."""
        for folder, _, files in os.walk(self.root / prefix):
            below = os.path.relpath(folder, self.root).replace(os.sep, "/")
            yield from (f"{below}/{file}" for file in files)

    def exists(self, name: str) -> bool:
        """See Store."""
        return (self.root / name).is_file()

    def delete(self, name: str) -> None:
        """See Store."""
        (self.root / name).unlink(missing_ok=True)

    def prune(self) -> None:
        """See Store."""
        for folder, _, _ in os.walk(self.root if self._made else self.root / STAGING, topdown=False):
            with suppress(OSError):  # it holds something
                Path(folder).rmdir()

    def locate(self, name: str) -> str:
        """See Store."""
        return str(self.root / name)

    @contextmanager
    def _staged(self, name: str, content: bytes) -> Iterator[Path]:
        """Hold the content in a scratch file on the disk, and make the target's folder. The scratch never stays."""
        staged = self.root / STAGING / uuid4().hex
        target = self.root / name
        try:
            self._made |= not self.root.exists()
            staged.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            with staged.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield staged
            _flush_folder(target.parent)
        except OSError as error:
            if error.errno not in MISHAPS:
                raise
            raise UsageError(
                f"{MISHAPS[error.errno]}: cannot write {name} to {self.root}; what is committed there stays, "
                "run the same command again when this is mended"
            ) from error
        finally:
            with suppress(FileNotFoundError, NotADirectoryError):  # it never came to be, or was moved into place
                staged.unlink()


def open_store(uri: str | Path) -> Store:
    """Return the store at a local path or a file:// URI, without touching it.

    Raises:
        UsageError: the scheme is another one.
    """
    text = os.fspath(uri)
    parts = urlsplit(text)
    if "://" not in text:
        return LocalStore(Path(text).expanduser())
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return LocalStore(unquote(parts.path))
    raise UsageError(
        f'results: "{text}": stores of the kind "{parts.scheme}://" are not built yet; name a local folder or file:///PATH'
    )


def _flush_folder(folder: Path) -> None:
    """Make the new directory entry survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
