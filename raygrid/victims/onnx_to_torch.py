"""`onnx:FILE`: the conversion to torch by onnx2torch (extra `onnx`), and batches for graphs exported for one sample."""

import torch
from torch import Tensor, nn

from raygrid.errors import UsageError
from raygrid.victims.bring_inputs import file_sha256, frame_crop
from raygrid.victims.bring_onnx import input_shape, package, read_graph
from raygrid.victims.catalog_bring import OnnxParams
from raygrid.victims.framed import framed
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

RUN_ERRORS = (RuntimeError, IndexError, ValueError)
"""What torch raises where a converted graph and its input do not fit."""


class OneByOne(nn.Module):
    """Runs a model that takes one sample on every sample of a batch."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to logits [B, classes]."""
        return torch.cat([self.model(sample[None]) for sample in x])


def build(params: OnnxParams, info: VictimInfo) -> Victim:
    """Convert the file, which must be the one that `identify` hashed.

    Raises:
        UsageError: the file changed, onnx2torch is missing or lacks an operator, or the converted graph does not run.
    """
    file_sha256(info.id, "file", params.file, info.weights_sha256)
    try:
        model: nn.Module = package(info.id, "onnx2torch").convert(params.file).eval()
    except NotImplementedError as error:
        raise UsageError(
            f'victim "{info.id}": file: onnx2torch cannot convert {params.file}: {error}; export it without this '
            "operator, or bring the model with `use: module`"
        ) from error
    graph = read_graph(info.id, params.file)
    shape = input_shape(info.id, graph, params.input)
    if graph.batch is not None:
        model = rebatched(info.id, model, torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)))
    if params.task == "verification":
        model = framed(model, frame_crop(params), shape[1])
    return Victim(model, info)


def rebatched(victim: str, model: nn.Module, samples: Tensor) -> nn.Module:
    """Return a model that takes batches, from a graph exported for one sample.

    Most such graphs take batches as they are; those with the 1 baked into a reshape fail or mix samples: one by one.

    Args:
        victim: id, for messages.
        model: the converted graph.
        samples: two different inputs [2, C, H, W].

    Raises:
        UsageError: the graph does not even take one sample.
    """
    one_by_one = OneByOne(model)
    with torch.no_grad():
        try:
            expected = one_by_one(samples)
        except RUN_ERRORS as error:
            raise UsageError(f'victim "{victim}": file: the converted graph fails on one sample: {error}') from error
        try:
            found = model(samples)
        except RUN_ERRORS:
            return one_by_one
    same = found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
    return model if same else one_by_one
