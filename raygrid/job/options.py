"""A victim or a dataset that an option of the command line names, as job files name it. Imports no torch, no ray."""

from collections.abc import Sequence
from typing import TypeVar

from raygrid import registry
from raygrid.job.grids import GridReader
from raygrid.job.reading import Mistakes
from raygrid.job.yaml12 import Mark, Node, read_text
from raygrid.spec import DataSpec, VictimSpec

S = TypeVar("S")


def read_victim(text: str, option: str) -> VictimSpec:
    """Read `mnist-cnn`, `torchvision:resnet18` or `{use: module, target: ...}`.

    Raises:
        UsageError: all mistakes at once, each naming the option; lists, which are axes in a job, are one.
    """
    node, mistakes = _node(text, option), Mistakes()
    read, _ = GridReader(registry.components(), mistakes).victim(node)
    return _only([victim.spec for victim in read], "victim", node, mistakes)


def read_data(text: str, option: str) -> DataSpec:
    """Read `mnist-5k` or `{use: npz, path: ...}`.

    Raises:
        UsageError: as `read_victim`.
    """
    node, mistakes = _node(text, option), Mistakes()
    specs, _ = GridReader(registry.components(), mistakes).data(node)
    return _only(specs, "dataset", node, mistakes)


def _node(text: str, option: str) -> Node:
    return read_text(text, lambda line, column: Mark(option), "")


def _only(specs: Sequence[S], what: str, node: Node, mistakes: Mistakes) -> S:
    if len(specs) > 1:
        mistakes.add(node, f"says several {what}s by a list; say one")
    if mistakes.found:
        raise mistakes.error()
    return specs[0]
