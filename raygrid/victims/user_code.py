"""Python code that a job names: found and hashed without running it, loaded only when the job says `trust: true`, and
blamed by file and line when it fails. Imports neither torch nor ray."""

import hashlib
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from raygrid.assets import sha256_of
from raygrid.errors import UsageError, did_you_mean

LIBRARIES = (f"{Path(__file__).parents[1]}/", sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<")
"""Where frames of a traceback that are not the user's own code come from."""


@dataclass(frozen=True)
class UserCode:
    """A callable in a file or a package, found but not imported."""

    victim: str
    """Id of the victim that needs it, for messages."""
    source: str
    """Path of a .py file, or the dotted name of a module."""
    attribute: str
    sha256: str
    """Of the file; for a module inside a package, of the names and contents of all the package's .py files."""


def find(victim: str, target: str, trust: bool) -> UserCode:
    """Find the code that `path/file.py:callable` or `pkg.mod:callable` names, without running any of it.

    Raises:
        UsageError: the job does not trust it, the target is malformed, or there is no such file or module here.
    """
    if not trust:
        raise UsageError(
            f'victim "{victim}": target: {target} is Python code, and a job file can\'t run code unless it says so; '
            "read the code, then add `trust: true`"
        )
    source, _, attribute = target.rpartition(":")
    if not source or not attribute.isidentifier():
        raise UsageError(
            f'victim "{victim}": target: "{target}" names no callable; write path/file.py:callable or pkg.mod:callable'
        )
    sha256 = _file_sha256(victim, source) if source.endswith(".py") else _module_sha256(victim, source)
    return UserCode(victim, source, attribute, sha256)


def load(code: UserCode) -> Callable[..., Any]:
    """Import the code and return its callable.

    A file is run under a module name of its own, made from its contents, and `sys.path` is left alone.

    Raises:
        UsageError: the code failed (with its exception, file and line), or holds no such callable.
    """
    with blaming(code.victim, "target"):
        module = _run_file(code) if code.source.endswith(".py") else import_module(code.source)
    found = getattr(module, code.attribute, None)
    if not callable(found):
        names = [name for name, value in vars(module).items() if callable(value)]
        raise UsageError(
            f'victim "{code.victim}": target: {code.source} holds no callable "{code.attribute}"'
            f"{did_you_mean(code.attribute, names)}"
        )
    called: Callable[..., Any] = found
    return called


def unchanged(code: UserCode, planned: str) -> UserCode:
    """Return the code if it is what the job was planned with.

    Raises:
        UsageError: the host found other code than the driver.
    """
    if code.sha256 != planned:
        raise UsageError(
            f'victim "{code.victim}": target: {code.source} is not the code that the job was planned with: it was '
            "edited since, or this host has another copy; run the job again"
        )
    return code


@contextmanager
def blaming(victim: str, field: str) -> Iterator[None]:
    """Turn whatever user code raises into a UsageError that names the exception, file and line."""
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # user code may raise anything, and a script may exit
        raise UsageError(f'victim "{victim}": {field}: your code raised {blame(error)}') from error


def blame(error: BaseException) -> str:
    """Say `ValueError: message (model.py:12 in make)`, by the last frame of user code, or the last of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(LIBRARIES)]
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):  # its message names the file and the line
        return said
    last = next(reversed(own or frames), None)
    return f"{said} ({last.filename}:{last.lineno} in {last.name})" if last else said


def _file_sha256(victim: str, file: str) -> str:
    path = Path(file)
    if not path.is_file():
        raise UsageError(
            f'victim "{victim}": target: no file {file} on this machine; every host must find it at this path'
        )
    return sha256_of(path)


def _module_sha256(victim: str, name: str) -> str:
    spec = _find_module(name)
    if spec is None or spec.origin is None or not spec.has_location:
        raise UsageError(
            f'victim "{victim}": target: no module "{name}" on this machine\'s import path; install it on every host, '
            "or name a file: path/file.py:callable"
        )
    package = find_spec(name.partition(".")[0])
    folders = package.submodule_search_locations if package else None
    return _tree_sha256([Path(folder) for folder in folders]) if folders else sha256_of(Path(spec.origin))


def _find_module(name: str) -> ModuleSpec | None:
    """Find a module without importing its parents, which `importlib.util.find_spec` would do."""
    top, *rest = name.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # ValueError: a module without a spec, such as __main__
        return None
    folders = _folders(spec)
    for part in rest:
        if not folders:
            return None
        # Asked for by its last name, since a folder without __init__.py would ask for its parents, imported.
        spec = PathFinder.find_spec(part, folders)
        folders = _folders(spec)
    return spec


def _folders(spec: ModuleSpec | None) -> list[str]:
    return list((spec and spec.submodule_search_locations) or [])


def _tree_sha256(folders: list[Path]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{file.relative_to(folder).as_posix()}\0{sha256_of(file)}\0".encode())
    return digest.hexdigest()


def _run_file(code: UserCode) -> ModuleType:
    name = f"raygrid_user_{code.sha256}"
    spec = spec_from_file_location(name, code.source)
    if spec is None:
        raise ValueError(f"{code.source} is no Python file")
    module = module_from_spec(spec)
    # Compiled here and not by the loader, whose cache goes by size and second and would miss a quick edit.
    source = compile(Path(code.source).read_bytes(), code.source, "exec")
    sys.modules[name] = module  # dataclasses and pickle look their module up
    try:
        exec(source, module.__dict__)  # noqa: S102 - the job says `trust: true`
    except BaseException:
        del sys.modules[name]
        raise
    return module
