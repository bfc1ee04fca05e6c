"""Text -> Node: the part of YAML 1.2 that a job file needs, every value with its path and position. Knows no job.

The scalars are those of the 1.2 core schema: `1e-3` is a number, `no` and `2026-11-23` are strings. Tags, anchors,
aliases, several documents and numbers that are not finite are refused. ruamel.yaml reads the syntax; nothing here can
run code.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from raygrid.errors import UsageError

MAX_DEPTH = 40
"""Deepest nesting: five times what a job needs, and far below Python's recursion limit."""

Scalar = None | bool | int | float | str

_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_FRACTION = re.compile(rf"\s*({_NUMBER})\s*/\s*({_NUMBER})\s*")
# Integers longer than 300 digits fall through to float, where they are infinite and refused.
_CORE_SCHEMA: tuple[tuple[re.Pattern[str], Callable[[str], Scalar]], ...] = (
    (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    (re.compile(r"[-+]?[0-9]{1,300}"), int),
    (re.compile(r"0o[0-7]{1,300}"), lambda text: int(text, 0)),
    (re.compile(r"0x[0-9a-fA-F]{1,300}"), lambda text: int(text, 0)),
    (re.compile(_NUMBER), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)


class Mark(NamedTuple):
    """Where something was written: a file with line and column (from 1), or the command line (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}:" if self.line else self.source


@dataclass(frozen=True)
class Node:
    """A value of the file with its path and position."""

    at: Mark
    path: str
    """`grids.imagenet.attacks[0].eps`; empty for the whole file."""
    value: "Scalar | tuple[Node, ...] | dict[str, Node]"
    key_at: Mark
    """Where the key that holds the value stands; the position of the value itself in a list."""

    def plain(self) -> Any:
        """Return the value as plain JSON: dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, tuple):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, key: str) -> "Node":
        """Return the value under a key of a mapping, or the node itself where there is none: the place to blame."""
        return self.value.get(key, self) if isinstance(self.value, dict) else self


def scalar(text: str) -> Scalar:
    """Read an unquoted scalar by the core schema of YAML 1.2."""
    return next((make(text) for pattern, make in _CORE_SCHEMA if pattern.fullmatch(text)), text)


def fraction(text: str) -> float | None:
    """Return the value of `8/255`, or None for any other text and for a quotient that is not finite."""
    match = _FRACTION.fullmatch(text)
    if match is None or float(match[2]) == 0:
        return None
    value = float(match[1]) / float(match[2])
    return value if math.isfinite(value) else None


def join(path: str, part: str | int) -> str:
    """Append a key or a list index to a path."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    return f"{path}.{part}" if path else part


Refuse = Callable[[Mark, str, str], None]
"""Takes note of what is left out of YAML on purpose: (where, path, what)."""


def read_file(path: Path, refuse: Refuse | None = None) -> Node:
    """Read a YAML file; `refuse` as that of `read_text`.

    Raises:
        UsageError: missing, unreadable, empty or not UTF-8; or whatever `read_text` refuses.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a folder; name a job file in it") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})") from None
    root = read_text(text, lambda line, column: Mark(str(path), line, column), refuse=refuse)
    if root.value is None:
        raise UsageError(f"{path}: the file is empty")
    return root


def read_text(text: str, mark: Callable[[int, int], Mark], path: str = "", refuse: Refuse | None = None) -> Node:
    """Read YAML text.

    Args:
        text: one document.
        mark: turns line and column, from 1, into a position.
        path: where the value will stand.
        refuse: is told of duplicate keys and of what is left out of YAML on purpose, which then say nothing here.

    Raises:
        UsageError: wrong syntax (the first place), or, without `refuse`, all that it would be told.
    """
    messages: list[str] = []
    builder = _Builder(mark, refuse or (lambda at, path, what: messages.append(_message(at, path, what))))
    try:
        root = builder.document(path, YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        what = "; ".join(str(part) for part in (error.problem, error.context) if part)
        hint = "; indent with spaces" if "'\\t'" in what else ""
        at = mark(where.line + 1, where.column + 1) if where else mark(1, 1)
        raise UsageError(_message(at, path, f"not valid YAML: {what}{hint}")) from None
    except ReaderError as error:
        before = text[: error.position]
        at = mark(before.count("\n") + 1, error.position - before.rfind("\n"))
        what = f"not valid YAML: the character U+{error.character:04X} is not allowed"
        raise UsageError(_message(at, path, what)) from None
    if messages:
        raise UsageError(*messages)
    return root


class _Builder:
    """Builds nodes out of parser events, and tells what it refuses."""

    def __init__(self, mark: Callable[[int, int], Mark], refused: Refuse) -> None:
        self._mark, self._refused = mark, refused

    def document(self, path: str, events: Iterator[Any]) -> Node:
        start = self._mark(1, 1)
        root = Node(start, path, None, start)
        seen = False
        for event in events:
            if isinstance(event, ev.DocumentStartEvent) and seen:
                self._refuse(event, path, "a second document; a job file holds one")
                break
            if isinstance(event, ev.NodeEvent):
                root, seen = self._node(event, events, path, None, 0), True
        return root

    def _node(self, event: Any, events: Iterator[Any], path: str, key_at: Mark | None, depth: int) -> Node:
        at = self._at(event)
        if depth > MAX_DEPTH:
            raise UsageError(_message(at, path, f"nested deeper than {MAX_DEPTH} levels"))
        self._refuse_decoration(event, path)
        value: Any = None
        if isinstance(event, ev.MappingStartEvent):
            value = self._mapping(events, path, depth)
        elif isinstance(event, ev.SequenceStartEvent):
            items = enumerate(_until(ev.SequenceEndEvent, events))
            value = tuple(self._node(item, events, join(path, i), None, depth + 1) for i, item in items)
        elif isinstance(event, ev.ScalarEvent):
            value = scalar(event.value) if event.implicit[0] else event.value
            if isinstance(value, float) and not math.isfinite(value):
                self._refuse(event, path, f"must be a finite number, not {event.value[:20]}")
        return Node(at, path, value, key_at or at)

    def _mapping(self, events: Iterator[Any], path: str, depth: int) -> dict[str, Node]:
        value: dict[str, Node] = {}
        for event in _until(ev.MappingEndEvent, events):
            at = self._at(event)
            if not isinstance(event, ev.ScalarEvent):
                raise UsageError(_message(at, path, "a key must be a plain name, not a list, a mapping or an alias"))
            self._refuse_decoration(event, path)
            child = self._node(next(events), events, join(path, event.value), at, depth + 1)
            if event.value in value:
                self._refuse(event, child.path, "duplicate key; keep one of them")
            else:
                value[event.value] = child
        return value

    def _refuse_decoration(self, event: Any, path: str) -> None:
        if event.anchor:  # of an alias: the name it refers to
            self._refuse(event, path, "anchors (&name) and aliases (*name) are left out; write the value out")
        elif event.tag is not None:
            self._refuse(event, path, f'tags such as "{event.tag}" are left out; write the plain value')

    def _refuse(self, event: Any, path: str, what: str) -> None:
        self._refused(self._at(event), path, what)

    def _at(self, event: Any) -> Mark:
        return self._mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _message(at: Mark, path: str, what: str) -> str:
    return f"{at} {path}: {what}" if path else f"{at} {what}"


def _until(end: type, events: Iterator[Any]) -> Iterator[Any]:
    return takewhile(lambda event: not isinstance(event, end), events)
