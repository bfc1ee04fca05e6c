"""`-s path=value`: changes to the tree of a job file before it is validated."""

import re
from collections.abc import Sequence
from dataclasses import replace

from raygrid.errors import UsageError, did_you_mean
from raygrid.job.reading import Mistakes, show
from raygrid.job.yaml12 import Mark, Node, join, read_text

COMMAND_LINE = Mark("-s")
_STEP = re.compile(r"(?:\A|(?!\A)\.)(?P<key>[^.\[\]=]+)|\[(?P<index>[0-9]{1,9})\]")

Path = tuple[str | int, ...]


def apply_overrides(root: Node, overrides: Sequence[str], mistakes: Mistakes) -> Node:
    """Apply `path=value` texts in order; the value is YAML. What can't be applied is noted and left out."""
    for override in overrides:
        text, equals, value = override.partition("=")
        try:
            if not equals:
                raise UsageError(
                    f"{COMMAND_LINE} {override}: expected path=value, such as -s grids.imagenet.data.limit=5"
                )
            path = parse_path(text)
            root = _put(root, path, read_text(value, lambda _line, _column: COMMAND_LINE, format_path(path)))
        except UsageError as error:
            mistakes.note(error)
    return root


def parse_path(text: str) -> Path:
    """Split `grids.imagenet.attacks[0].eps` into its keys and indices.

    Raises:
        UsageError: not of that form.
    """
    steps: list[str | int] = []
    position = 0
    while position < len(text) and (match := _STEP.match(text, position)):
        steps.append(match["key"] if match["index"] is None else int(match["index"]))
        position = match.end()
    if position < len(text) or not steps or isinstance(steps[0], int):
        raise UsageError(f"{COMMAND_LINE} {text}: not a path such as grids.imagenet.attacks[0].eps")
    return tuple(steps)


def format_path(path: Path) -> str:
    """Write keys and indices as `parse_path` reads them."""
    text = ""
    for step in path:
        text = join(text, step)
    return text


def _put(node: Node, path: Path, value: Node) -> Node:
    """Return the tree with the value at the path; mappings on the way are made where they are missing."""
    if not path:
        return replace(value, key_at=COMMAND_LINE)
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return _put_item(node, step, rest, value)
    children = _as_mapping(node, value)
    if step not in children and rest and (node.path == "grids" or isinstance(rest[0], int)):
        where = node.path or "the job"
        near = did_you_mean(step, children)
        raise UsageError(f'{COMMAND_LINE} {value.path}: there is no "{step}" in {where}{near}')
    empty = Node(COMMAND_LINE, join(node.path, step), {}, COMMAND_LINE)
    return replace(node, value={**children, step: _put(children.get(step, empty), rest, value)})


def _put_item(node: Node, index: int, rest: Path, value: Node) -> Node:
    if not isinstance(node.value, tuple):
        if index == 0:  # one value where a list may stand is a list of one
            return _put(node, rest, value)
        raise UsageError(f"{COMMAND_LINE} {value.path}: {node.path} is one value, not a list")
    if index >= len(node.value):
        raise UsageError(f"{COMMAND_LINE} {value.path}: {node.path} has {len(node.value)} items, the first is [0]")
    items = list(node.value)
    items[index] = _put(items[index], rest, value)
    return replace(node, value=tuple(items))


def _as_mapping(node: Node, value: Node) -> dict[str, Node]:
    """Return the children of a mapping; a name is shorthand for `{use: name}`."""
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.value, str):
        return {"use": node}
    if isinstance(node.value, tuple):
        raise UsageError(f"{COMMAND_LINE} {value.path}: {node.path} is a list; say which, as in {node.path}[0]")
    raise UsageError(f"{COMMAND_LINE} {value.path}: {node.path} is {show(node)}, which has nothing below it")
