"""Victims that people bring: their parameters and their entries. Declarations only: imports neither torch nor ray.

Paths are made absolute where the job is read, so that a host with another working folder finds the same file.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from raygrid.component import Component, Params
from raygrid.victims.info import Alone

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _absolute_checkpoint(weights: str) -> str:
    return _absolute(weights) if is_checkpoint(weights) else weights


def _absolute_code(target: str) -> str:
    file, colon, attribute = target.rpartition(":")
    return f"{_absolute(file)}{colon}{attribute}" if file.endswith(".py") else target


def is_checkpoint(weights: str) -> bool:
    """Say whether `weights` is meant as a file, rather than as the name of published weights."""
    return "/" in weights or weights.endswith(CHECKPOINT_SUFFIXES)


File = Annotated[str, AfterValidator(_absolute)]
Target = Annotated[str, AfterValidator(_absolute_code)]
Shape = tuple[int, int, int]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class NormalizedParams(Params):
    """The normalization that a brought model expects before its first layer."""

    mean: tuple[float, ...] | None = None
    """Subtracted from pixels in [0, 1], one value a channel. Default: the published model's own, else 0."""
    std: tuple[float, ...] | None = None
    """Divides after that, one value a channel. Default: the published model's own, else 1."""


class TaskParams(NormalizedParams):
    """What a brought model is for."""

    task: Literal["classification", "verification"] = "classification"
    """`verification`: it embeds faces that it finds in canonical frames, and `classes` is the width of its embeddings."""
    similarity: Alone = "cosine"
    """How embeddings are compared, for verification; l2: by the negative Euclidean distance."""
    crop: tuple[float, float, float] | None = None
    """Left, top and side of the square of the canonical frame that a face embedder takes, in pixels; it is resized to `input`.
    Default: the whole frame, [0, 0, 160]. ArcFace's is [24, 24, 112]."""


class TorchvisionParams(NormalizedParams):
    """A classifier of torchvision."""

    name: str
    """Name of the model, as `torchvision.models.list_models()` gives it."""
    weights: Annotated[str, AfterValidator(_absolute_checkpoint)] = "DEFAULT"
    """Published weights by name (IMAGENET1K_V1, DEFAULT), or a state dict: a .pth or .safetensors file."""
    sha256: Sha256 | None = None
    """Refuse weights with any other sha256."""
    classes: int | None = None
    """Number of classes of a file's weights. Default: 1000."""
    input: Shape | None = None
    """Channels, height, width, to which other sizes are resized. Default: the weights' own, else [3, 224, 224]."""


class TimmParams(NormalizedParams):
    """A classifier of timm, its weights in a file."""

    name: str
    """Name of the model, with its tag if it has one: `resnet18.a1_in1k`."""
    weights: File | None = None
    """State dict: the .safetensors or .pth file of the model. Needed: nothing is fetched from a hub."""
    sha256: Sha256 | None = None
    """Refuse weights with any other sha256."""
    classes: int | None = None
    """Number of classes. Default: that of the name's tag."""
    input: Shape | None = None
    """Channels, height, width, to which other sizes are resized. Default: that of the name's tag."""


class ModuleParams(TaskParams):
    """A model built by the user's own Python code."""

    target: Target
    """`path/file.py:callable` or `pkg.mod:callable`; it returns an nn.Module that maps [B, C, H, W] to logits, or to
    embeddings. A file is hashed alone and can import installed packages only; of a package all .py files are hashed."""
    input: Shape
    """Channels, height, width."""
    classes: int
    """Number of classes."""
    trust: bool = False
    """Must be true: the target is code, and a job runs code only where it says so."""
    weights: File | None = None
    """State dict to load into the module. Without it results are keyed by the code alone, so the callable must bring
    the same weights every time. Torch's generator draws the same each time; files that the code reads are not seen."""
    sha256: Sha256 | None = None
    """Refuse weights with any other sha256."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the callable."""


class OnnxParams(TaskParams):
    """A classifier or a face embedder in an ONNX file, converted to torch so that gradients exist."""

    file: File
    """The .onnx file: one float input [B, C, H, W], one output [B, classes]. Weights in side files are refused."""
    sha256: Sha256 | None = None
    """Refuse a file with any other sha256."""
    input: Shape | None = None
    """Channels, height, width, where the graph leaves them open."""
    classes: int | None = None
    """Number of classes, where the graph leaves it open."""


class QueryParams(Params):
    """A victim that answers and shows nothing else."""

    input: Shape
    """Channels, height, width of one input; pixels are float32 in [0, 1]."""
    classes: int
    """Number of classes."""
    returns: Literal["scores", "labels"] = "scores"
    """`scores` [B, classes], higher is likelier: logits, or log-probabilities where there are none (access `score`).
    `labels` [B] in 0..classes-1 (access `decision`)."""


class CallableParams(QueryParams):
    """A Python function as a black box."""

    target: Target
    """`path/file.py:callable` or `pkg.mod:callable`: float32 array [B, C, H, W] -> scores or labels. A file is hashed
    alone and can import installed packages only; of a package all .py files are hashed. Files it reads are not seen."""
    trust: bool = False
    """Must be true: the target is code, and a job runs code only where it says so."""


class EndpointParams(QueryParams):
    """An HTTP endpoint of your own: only ever point this at a service that you may attack.

    Each request is a POST with a float32 array [B, C, H, W] in NumPy's .npy format (Content-Type: application/x-npy).
    The answer is JSON: {"scores": [[...], ...]} or {"labels": [...]}. Redirects are refused and nothing is retried.
    """

    url: str
    """https://..., or http:// on this machine itself (loopback). It is stored with the results: no secrets in it."""
    state: str
    """Version of the model behind the url, which cannot be hashed: results are computed again when this changes."""
    headers_env: str | None = None
    """Environment variable of the host with further headers, one `Name: value` a line. Only its name is stored."""
    timeout: float = Field(default=30.0, gt=0)
    """Seconds to wait for one answer."""
    batch: int = Field(default=32, ge=1)
    """Most samples in one request."""


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="victim",
        name="torchvision",
        summary="A torchvision classifier with published weights or your own file.",
        params=TorchvisionParams,
        shorthand="name",
        identify="raygrid.victims.bring_torchvision:identify",
        build="raygrid.victims.bring_torchvision:build",
        source="torchvision",
    ),
    Component(
        kind="victim",
        name="timm",
        summary="A timm classifier with weights from a file (pip install 'raygrid[timm]').",
        params=TimmParams,
        shorthand="name",
        identify="raygrid.victims.bring_timm:identify",
        build="raygrid.victims.bring_timm:build",
        source="timm",
    ),
    Component(
        kind="victim",
        name="module",
        summary="A torch module built by your own Python code.",
        params=ModuleParams,
        identify="raygrid.victims.bring_module:identify",
        build="raygrid.victims.bring_module:build",
    ),
    Component(
        kind="victim",
        name="onnx",
        summary="A classifier or a face embedder in an ONNX file (pip install 'raygrid[onnx]').",
        params=OnnxParams,
        shorthand="file",
        identify="raygrid.victims.bring_onnx:identify",
        build="raygrid.victims.onnx_to_torch:build",
    ),
    Component(
        kind="victim",
        name="callable",
        summary="A Python function as a black box that gives scores or labels only.",
        params=CallableParams,
        identify="raygrid.victims.query_only:identify",
        build="raygrid.victims.query_only:build",
    ),
    Component(
        kind="victim",
        name="endpoint",
        summary="An HTTP endpoint of your own that gives scores or labels only.",
        params=EndpointParams,
        identify="raygrid.victims.endpoint:identify",
        build="raygrid.victims.endpoint:build",
    ),
)
