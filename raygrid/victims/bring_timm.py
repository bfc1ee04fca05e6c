"""`timm:NAME`: a classifier of timm (extra `timm`), its weights in a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raygrid.errors import UsageError, did_you_mean
from raygrid.victims.bring_inputs import checked, file_sha256, resizing
from raygrid.victims.catalog_bring import TimmParams
from raygrid.victims.info import VictimInfo

if TYPE_CHECKING:
    from raygrid.victims.victim import Victim


def identify(params: TimmParams, id: str) -> VictimInfo:  # noqa: A002 - the registry's signature
    """Say what the victim is. Imports timm, which alone knows its models' normalization.

    Raises:
        UsageError: timm is missing, unknown model, no weights file, a wrong sha256, or a contract that cannot hold.
    """
    config = _config(id, params.name)
    if params.weights is None:
        raise UsageError(
            f'victim "{id}": weights: a timm victim needs a file, nothing is fetched from a hub; get model.safetensors '
            f"of {config.hf_hub_id or params.name} and say weights: path/to/model.safetensors"
        )
    return resizing(
        checked(
            VictimInfo(
                id=id,
                arch=f"{params.name}.file",
                classes=config.num_classes if params.classes is None else params.classes,
                input_shape=params.input or config.input_size,
                mean=tuple(config.mean) if params.mean is None else params.mean,
                std=tuple(config.std) if params.std is None else params.std,
                weights_sha256=file_sha256(id, "weights", params.weights, params.sha256),
                license=config.license or "",
                source="timm",
            )
        )
    )


def build(params: TimmParams, info: VictimInfo) -> "Victim":
    """Build the model and load its weights, which must be those that `identify` hashed.

    Raises:
        UsageError: timm is not installed on this host, or the weights changed or do not fit the model.
    """
    from raygrid.victims.loading import load_into, load_tensors
    from raygrid.victims.resized import resized
    from raygrid.victims.victim import Victim

    if params.weights is None:
        raise ValueError("identify refuses a timm victim without weights")
    timm = _timm(info.id)
    model = timm.create_model(params.name, pretrained=False, num_classes=info.classes, in_chans=info.input_shape[0])
    load_into(model, load_tensors(Path(params.weights), info.weights_sha256), info.id)
    return Victim(resized(model, params.input or _config(info.id, params.name).input_size), info)


def _timm(victim: str) -> Any:
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise UsageError(f"victim \"{victim}\": timm is not installed here; pip install 'raygrid[timm]'") from None
    return timm


def _config(victim: str, name: str) -> Any:
    timm = _timm(victim)
    model, _, tag = name.partition(".")
    known = timm.is_model(model)
    names = timm.list_pretrained(f"{model}.*") if known else timm.list_models()
    if not known or (tag and name not in names):
        hint = did_you_mean(name, names) or f"; known: {', '.join(names[:8])}, ..."
        raise UsageError(f'victim "{victim}": name: timm has no model "{name}"{hint}')
    return timm.get_pretrained_cfg(name)
