"""`torchvision:NAME`: a classifier of torchvision, with its published weights or the user's own."""

import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raygrid.assets import sha256_of
from raygrid.errors import UsageError, did_you_mean
from raygrid.victims.bring_inputs import checked, file_sha256, resizing
from raygrid.victims.catalog_bring import TorchvisionParams, is_checkpoint
from raygrid.victims.info import VictimInfo

if TYPE_CHECKING:
    from torch import Tensor, nn

    from raygrid.victims.victim import Victim

HALF = (0.5, 0.5, 0.5)
CENTERED_INSIDE = ("googlenet", "inception_v3")
"""Models that torchvision's pretrained builders give `transform_input`, which turns ImageNet's normalization into
(x - 0.5) / 0.5. Here they are built plainly and normalized so at once."""

OLD_DENSENET = re.compile(r"(?<=\.)(denselayer\d+\.(?:norm|conv))\.([12])(?=\.)")
"""Names in DenseNet's published files, `denselayer1.norm.1.weight`; the layer is `norm1` today."""


@dataclass(frozen=True)
class Weights:
    """Where weights come from and the input they were trained on."""

    tag: str = "file"
    """Name in torchvision's enum."""
    url: str = ""
    """Empty for the user's own file. Ends with the file's name, in which the first digits of its sha256 stand."""
    input: tuple[int, int, int] = (3, 224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


def identify(params: TorchvisionParams, id: str) -> VictimInfo:  # noqa: A002 - the registry's signature
    """Say what the victim is. Imports torchvision, which alone knows its weights; those it published are fetched.

    Raises:
        UsageError: unknown model or weights, no such file, a wrong sha256, a contract that cannot hold, or no network.
    """
    weights = find_weights(id, params.name, params.weights)
    if weights.url and params.classes is not None:
        raise UsageError(f'victim "{id}": classes: published weights have their own; leave it out, or give a file')
    return resizing(
        checked(
            VictimInfo(
                id=id,
                arch=f"{params.name}.{weights.tag}",
                classes=1000 if params.classes is None else params.classes,
                input_shape=params.input or weights.input,
                mean=weights.mean if params.mean is None else params.mean,
                std=weights.std if params.std is None else params.std,
                weights_sha256=file_sha256(id, "weights", str(_locate(id, params, weights)), params.sha256),
                source="torchvision",
            )
        )
    )


def build(params: TorchvisionParams, info: VictimInfo) -> "Victim":
    """Build the model and load its weights, which must be those that `identify` hashed.

    Raises:
        UsageError: the weights changed, cannot be fetched on this host, or do not fit the model.
    """
    from torchvision.models import get_model

    from raygrid.victims.loading import load_tensors
    from raygrid.victims.resized import resized
    from raygrid.victims.victim import Victim

    weights = find_weights(info.id, params.name, params.weights)
    # These two initialize layer by layer, for half a minute, unless told not to.
    extra: dict[str, Any] = {"init_weights": False} if params.name in CENTERED_INSIDE else {}
    model = get_model(params.name, weights=None, num_classes=info.classes, **extra)
    load_migrating(model, load_tensors(_locate(info.id, params, weights), info.weights_sha256), info.id)
    return Victim(resized(model, params.input or weights.input), info)


def find_weights(victim: str, model: str, name: str) -> Weights:
    """Return the weights that a job names: a file, or an entry of the model's enum; DEFAULT is resolved to its name.

    Raises:
        UsageError: torchvision has no such classifier, or no such weights for it; the message offers what there is.
    """
    from torchvision import models

    names = models.list_models(module=models)
    if model not in names:
        hint = did_you_mean(model, names) or "; only classifiers fit, as `torchvision.models.list_models()` lists them"
        raise UsageError(f'victim "{victim}": name: torchvision has no classifier "{model}"{hint}')
    if is_checkpoint(name):
        return Weights()
    enum = models.get_model_weights(model)
    if name not in enum.__members__:
        raise UsageError(
            f'victim "{victim}": weights: {model} has no published weights "{name}"; '
            f"choose {', '.join(enum.__members__)}, or give a .pth or .safetensors file"
        )
    preset = enum[name].transforms()
    centered = model in CENTERED_INSIDE
    return Weights(
        tag=enum[name].name,
        url=enum[name].url,
        input=(len(preset.mean), preset.crop_size[0], preset.crop_size[0]),
        mean=HALF if centered else tuple(preset.mean),
        std=HALF if centered else tuple(preset.std),
    )


def fetch(url: str) -> Path:
    """Return a published file out of torch.hub's cache, downloaded first if it is missing or damaged there.

    Raises:
        OSError: the download failed (URLError) or the disk did.
        RuntimeError: what came does not have the sha256 that the file's name promises.
    """
    from torch import hub

    file = Path(hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    digits = re.search(r"-([0-9a-f]{8,})\.", file.name)
    prefix = digits[1] if digits else ""
    if not (file.is_file() and sha256_of(file).startswith(prefix)):
        file.parent.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(url, str(file), hash_prefix=prefix, progress=False)
    return file


def load_migrating(model: "nn.Module", tensors: "dict[str, Tensor]", victim: str) -> None:
    """Load weights that older versions of torchvision saved, as its own builders do.

    Raises:
        UsageError: they do not fit.
    """
    from raygrid.victims.loading import load_into

    named = OrderedDict((OLD_DENSENET.sub(r"\1\2", name), value) for name, value in tensors.items())
    # MNASNet asks which version saved it, which a plain mapping does not say; other layers go by the names they find.
    named._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    try:
        model.load_state_dict(named)
    except RuntimeError:
        load_into(model, named, victim)  # says in one line what does not fit


def _locate(victim: str, params: TorchvisionParams, weights: Weights) -> Path:
    if not weights.url:
        return Path(params.weights)
    try:
        return fetch(weights.url)
    except (OSError, RuntimeError) as error:
        file = weights.url.rpartition("/")[2]
        raise UsageError(
            f'victim "{victim}": weights: cannot fetch {weights.url}: {error}\n'
            f"  Offline? Copy {file} to this machine and say {{use: torchvision, name: {params.name}, "
            f"weights: path/to/{file}, input: {list(weights.input)}, mean: {list(weights.mean)}, "
            f"std: {list(weights.std)}}}"
        ) from error
