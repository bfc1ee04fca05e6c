"""A network as a chain of named stages, to be cut behind any of them: for noise, attacks and measurements inside.

A chain of `nn.Sequential` is taken apart as it is written, with the one part in it, if there is one, that holds all parameters. Any
other module is traced (`torch.fx`), and is cut where a single tensor carries all that the rest needs: behind a residual block, not
inside.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, fx, nn

from raygrid.errors import UsageError, did_you_mean

RECTIFIERS = frozenset({"relu", "relu6", "relu_", "ReLU", "ReLU6"})
"""Names of modules, functions and methods whose output is never negative."""
KEEPERS = frozenset(
    {
        *(
            "MaxPool2d",
            "AvgPool2d",
            "AdaptiveAvgPool2d",
            "AdaptiveMaxPool2d",
            "Flatten",
            "Dropout",
            "Dropout2d",
            "Identity",
            "Mean",
        ),
        *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "flatten", "dropout", "view", "reshape", "mean", "amax"),
    }
)
"""Likewise of those whose output is not negative where their input is not."""


@dataclass(frozen=True)
class Stage:
    """A part of a network: one tensor in, one out."""

    name: str
    run: Callable[[Tensor], Tensor]
    rectified: bool
    """Whether the output is never negative."""

    @property
    def convolves(self) -> bool:
        """Whether there is a convolution in it."""
        return isinstance(self.run, nn.Module) and any(_convolves(module) for module in self.run.modules())


class Layers:
    """A network [B, ...] -> [B, classes] in stages. A layer is what comes out of a stage, the last one's aside.

    Args:
        model: the network, in eval mode. One that must not be cut says why by an attribute `undivided`.
        name: of the victim, for messages.
    """

    def __init__(self, model: nn.Module, name: str) -> None:
        self.name = name
        self.stages: list[Stage] = []
        self._why: str = getattr(model, "undivided", "")
        """Why it can't be cut."""
        if self._why:
            return
        for module in model.modules():
            if hasattr(module, "inplace"):
                setattr(module, "inplace", False)  # noqa: B010 - mypy takes it for a submodule; a layer's values may be used again
        try:
            self.stages = list(_taken_apart(model, "", rectified=False))
        except Exception as error:  # tracing runs the victim's own code, which may raise anything
            self._why = f"torch.fx can't trace it: {type(error).__name__}: {error}".splitlines()[0]

    @property
    def names(self) -> list[str]:
        """Names of the layers, from the input to the output; none of a network that can't be cut."""
        return [stage.name for stage in self.stages[:-1]]

    def all(self) -> list[str]:
        """Return the names of the layers.

        Raises:
            UsageError: it can't be cut.
        """
        if why := self._why or ("" if self.names else "it is a single step"):
            raise UsageError(f'victim "{self.name}" can\'t be cut into layers, since {why}')
        return self.names

    def convolutions(self) -> list[str]:
        """Return the names of the layers that come out of convolutions; of a block that can't be cut, what comes out of it.

        Raises:
            UsageError: it can't be cut, or has none.
        """
        names = [stage.name for stage in self.stages[:-1] if stage.convolves]
        if self.all() and not names:
            raise UsageError(f'victim "{self.name}" has no convolution before its last layer')
        return names

    def place(self, layer: str) -> int:
        """Return how many stages come before the layer.

        Raises:
            UsageError: there is no such layer; the nearest is offered.
        """
        if layer in self.all():
            return self.names.index(layer) + 1
        hint = did_you_mean(layer, self.names) or f"; it has: {', '.join(self.names)}"
        raise UsageError(f'victim "{self.name}" has no layer "{layer}"{hint}')

    def rectified(self, layer: str) -> bool:
        """Return whether the values of the layer are never negative."""
        return self.stages[self.place(layer) - 1].rectified

    def features(self, x: Tensor, layer: str) -> Tensor:
        """Return the values [B, ...] of the layer for normalized inputs x [B, ...]."""
        return self.run(x, 0, self.place(layer))

    def resume(self, h: Tensor, layer: str) -> Tensor:
        """Return the outputs [B, classes] that follow from values h [B, ...] of the layer."""
        return self.run(h, self.place(layer))

    def run(self, h: Tensor, start: int, stop: int | None = None) -> Tensor:
        """Run the stages start..stop - 1."""
        for stage in self.stages[start:stop]:
            h = stage.run(h)
        return h


def _convolves(module: nn.Module) -> bool:
    if isinstance(module, fx.GraphModule):
        return any(node.op == "call_function" and "conv" in _operation(node, {}) for node in module.graph.nodes)
    return isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)


def _is_chain(model: nn.Module) -> bool:
    return isinstance(model, nn.Sequential) and type(model).forward is nn.Sequential.forward


def _taken_apart(model: nn.Module, prefix: str, *, rectified: bool) -> Iterator[Stage]:
    if not _is_chain(model):
        yield from _traced(model, prefix, rectified=rectified)
        return
    trained = [module for module in model.children() if any(True for _ in module.parameters())]
    for name, module in model.named_children():
        if _is_chain(module) or trained == [module]:
            parts = _taken_apart(module, f"{prefix}{name}.", rectified=rectified)
        else:
            parts = iter([Stage(prefix + name, module, _rectified(type(module).__name__, rectified))])
        for stage in parts:
            rectified = stage.rectified
            yield stage


def _rectified(operation: str, before: bool) -> bool:
    return operation in RECTIFIERS or (before and operation in KEEPERS)


def _traced(model: nn.Module, prefix: str, *, rectified: bool) -> Iterator[Stage]:
    graph = fx.symbolic_trace(model).graph
    nodes = [node for node in graph.nodes if node.op not in ("get_attr", "output")]
    (output,) = (node for node in graph.nodes if node.op == "output")
    if not isinstance(output.args[0], fx.Node):
        raise ValueError("its output is not one tensor")
    position = {node: i for i, node in enumerate(nodes)}
    # A cut is where nothing from before is needed any more but the one value.
    until = [max((position.get(user, len(nodes)) for user in node.users), default=-1) for node in nodes]
    cuts, reach = [nodes[0]], until[0]
    for i, node in enumerate(nodes[1:], 1):
        if reach <= i:
            cuts.append(node)
        reach = max(reach, until[i])
    if cuts[-1] is not output.args[0]:
        cuts.append(output.args[0])
    modules, used = dict(model.named_modules()), set[str]()
    for start, end in pairwise(cuts):
        name = str(end.target) if end.op == "call_module" and str(end.target) not in used else end.name
        used.add(name)
        rectified = _rectified(_operation(end, modules), rectified)
        yield Stage(prefix + name, _segment(model, graph, start, end), rectified)


def _operation(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    if node.op == "call_module":
        return type(modules[str(node.target)]).__name__
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _segment(model: nn.Module, graph: fx.Graph, start: fx.Node, end: fx.Node) -> Callable[[Tensor], Tensor]:
    """Return the part of a traced network behind `start`, up to `end`."""
    part = fx.Graph()
    copies = {start: part.placeholder("h")}
    inside = False
    for node in graph.nodes:
        if inside or (node.op == "get_attr" and node not in copies):
            copies[node] = part.node_copy(node, copies.__getitem__)
        inside = (inside or node is start) and node is not end
    part.output(copies[end])
    return fx.GraphModule(model, part)


def shapes(layers: Layers, x: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Return the names of the layers with the shape of each for one sample of x [B, ...], normalized."""
    found = []
    h = x[:1]
    with torch.no_grad():
        for stage in layers.stages[:-1]:
            h = stage.run(h)
            found.append((stage.name, tuple(h.shape[1:])))
    return found
