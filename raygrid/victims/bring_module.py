"""`use: module`: a torch module that the user's own Python code builds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raygrid.assets import sha256_of
from raygrid.errors import UsageError
from raygrid.keys import canonical
from raygrid.victims import user_code
from raygrid.victims.bring_inputs import checked, file_sha256, for_task, frame_crop
from raygrid.victims.catalog_bring import ModuleParams
from raygrid.victims.info import VictimInfo

if TYPE_CHECKING:
    from raygrid.victims.victim import Victim


def identify(params: ModuleParams, id: str) -> VictimInfo:  # noqa: A002 - the registry's signature
    """Say what the victim is without running its code: hashes of code and weights, and the contract that it states.

    Raises:
        UsageError: no trust, no such code or weights, or a contract that cannot hold.
    """
    code = user_code.find(id, params.target, params.trust)
    if params.sha256 is not None and params.weights is None:
        raise UsageError(f'victim "{id}": sha256: there is no `weights` file to check it against')
    weights = "" if params.weights is None else file_sha256(id, "weights", params.weights, params.sha256)
    channels = params.input[0]
    info = checked(
        VictimInfo(
            id=id,
            arch=f"{code.attribute}.{canonical(_with_contents(params.args))}",
            classes=params.classes,
            input_shape=params.input,
            mean=(0.0,) * channels if params.mean is None else params.mean,
            std=(1.0,) * channels if params.std is None else params.std,
            weights_sha256=weights,
            code_sha256=code.sha256,
        )
    )
    return for_task(info, params)


def _with_contents(args: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with a hash beside each that names a file: what is in it decides what the victim is."""
    return {
        name: [value, sha256_of(Path(value))] if isinstance(value, str) and Path(value).is_file() else value
        for name, value in args.items()
    }


def build(params: ModuleParams, info: VictimInfo) -> "Victim":
    """Run the user's code and load the weights into the module that it returns.

    Raises:
        UsageError: the code changed since the plan, failed or returned no module; or the weights do not fit.
    """
    import torch
    from torch import nn

    from raygrid.victims.framed import framed
    from raygrid.victims.loading import load_into, load_tensors
    from raygrid.victims.victim import Victim

    code = user_code.unchanged(user_code.find(info.id, params.target, params.trust), info.code_sha256)
    # Layers that the weights leave out, or all without weights, start the same on every host.
    with torch.random.fork_rng(), user_code.blaming(info.id, "target"):
        torch.manual_seed(0)
        model = user_code.load(code)(**params.args)
    if not isinstance(model, nn.Module):
        raise UsageError(
            f'victim "{info.id}": target: {code.attribute} returned {type(model).__name__}, not a torch.nn.Module'
        )
    if params.weights is not None:
        load_into(model, load_tensors(Path(params.weights), info.weights_sha256), info.id)
    if params.task == "verification":
        model = framed(model, frame_crop(params), params.input[1])
    return Victim(model, info)
