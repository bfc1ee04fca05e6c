"""`onnx:FILE`: what an ONNX file says of itself (extra `onnx`). Torch-free; `onnx_to_torch.py` converts it."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from raygrid.assets import is_markup
from raygrid.errors import UsageError
from raygrid.victims.bring_inputs import checked, file_sha256, for_task
from raygrid.victims.catalog_bring import OnnxParams, Shape
from raygrid.victims.info import VictimInfo

Dims = tuple[int | None, ...]
"""Sizes of a tensor; None where the graph leaves one open."""


@dataclass(frozen=True)
class Graph:
    """What a graph says of its input [B, C, H, W] and its output [B, classes]."""

    input: Dims
    output: Dims

    @property
    def batch(self) -> int | None:
        """The batch size that the graph was exported for; None: any."""
        return self.input[0]


def identify(params: OnnxParams, id: str) -> VictimInfo:  # noqa: A002 - the registry's signature
    """Say what the victim is, from the graph and without torch.

    Raises:
        UsageError: the onnx package or the file is missing, the sha256 is wrong, or this is no image classifier.
    """
    sha256 = file_sha256(id, "file", params.file, params.sha256)
    graph = read_graph(id, params.file)
    shape = input_shape(id, graph, params.input)
    info = checked(
        VictimInfo(
            id=id,
            arch="onnx.file",
            classes=_classes(id, graph, params.classes),
            input_shape=shape,
            mean=(0.0,) * shape[0] if params.mean is None else params.mean,
            std=(1.0,) * shape[0] if params.std is None else params.std,
            weights_sha256=sha256,
        )
    )
    return for_task(info, params)


def read_graph(victim: str, file: str) -> Graph:
    """Read the shapes of a graph's one input and one output, inferring what they leave open.

    Raises:
        UsageError: this is no ONNX file, its weights lie in side files, or it does not map one image to one output.
    """
    onnx = package(victim, "onnx")
    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(file, load_external_data=False))
    except Exception as error:  # protobuf's DecodeError is no subclass of ValueError in every version
        with Path(file).open("rb") as content:
            page = is_markup(content.read(64))
        what = (
            "a web page saved as ONNX; download the file itself, not the page that links to it"
            if page
            else f"no ONNX file, or only part of one ({type(error).__name__}); export or download it again"
        )
        raise UsageError(f'victim "{victim}": file: {file} is {what}') from error
    problem = _graph_problem(onnx, model)
    if problem:
        raise UsageError(f'victim "{victim}": file: {file} {problem}')
    graph_input = _inputs(model)[0]
    return Graph(_dims(graph_input), _dims(model.graph.output[0]))


def package(victim: str, name: str) -> Any:
    """Import a package of the extra `onnx`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UsageError(f"victim \"{victim}\": {name} is not installed here; pip install 'raygrid[onnx]'") from None


def _graph_problem(onnx: Any, model: Any) -> str:
    inputs, outputs = _inputs(model), list(model.graph.output)
    if not inputs or not outputs:
        return "is no ONNX file, or its graph is empty"
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        return "keeps its weights in another file; save it as one file (onnx.save, save_as_external_data=False)"
    if len(inputs) > 1 or len(outputs) > 1:
        names = [[value.name for value in values] for values in (inputs, outputs)]
        return f"has the inputs {names[0]} and outputs {names[1]}; a classifier has one each"
    if inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT or len(_dims(inputs[0])) != 4:
        return f'has the input "{inputs[0].name}", which is not float32 [B, C, H, W]'
    return ""


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield all tensors that a graph holds: initializers, constants of nodes, and those of inner graphs."""
    yield from graph.initializer
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)


def _inputs(model: Any) -> list[Any]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _dims(value: Any) -> Dims:
    return tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim)


def input_shape(victim: str, graph: Graph, given: Shape | None) -> Shape:
    """Join the graph's [C, H, W] with what the job says."""
    stated = graph.input[1:]
    if given is None and None in stated:
        raise UsageError(f'victim "{victim}": input: the graph leaves {_shown(stated)} open; give input: [C, H, W]')
    if given is not None and any(have not in {None, want} for have, want in zip(stated, given, strict=True)):
        raise UsageError(f'victim "{victim}": input: the graph takes {_shown(stated)}, not {list(given)}')
    if graph.batch not in {None, 1}:
        raise UsageError(
            f'victim "{victim}": file: the graph was exported for batches of {graph.batch}; '
            "export it with an open batch dimension"
        )
    channels, height, width = given or (size or 0 for size in stated)
    return channels, height, width


def _classes(victim: str, graph: Graph, given: int | None) -> int:
    if len(graph.output) not in {0, 2}:  # 0: a graph may leave even the rank open
        raise UsageError(f'victim "{victim}": file: the graph gives {_shown(graph.output)}, not [B, classes]')
    stated = graph.output[1] if graph.output else None
    if given is None and stated is None:
        raise UsageError(f'victim "{victim}": classes: the graph leaves the number of classes open; give it')
    if given is not None and stated not in {None, given}:
        raise UsageError(f'victim "{victim}": classes: the graph has {stated}, not {given}')
    return given or stated or 0


def _shown(dims: Dims) -> str:
    return f"[{', '.join('?' if dim is None else str(dim) for dim in dims)}]"
