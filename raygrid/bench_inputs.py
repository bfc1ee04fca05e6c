"""What the benches run on: a victim, and samples for it, both named as in job files."""

import torch
from torch import Tensor

from raygrid.batch_sizes import samples_of_a_pass
from raygrid.component import resolve
from raygrid.data.check import check
from raygrid.data.dataset import Dataset, pixels, usual_shard
from raygrid.errors import UsageError
from raygrid.job import read_data, read_victim
from raygrid.victims.info import identified
from raygrid.victims.victim import Victim

DATA: dict[tuple[int, int | None, int | None], str] = {(1, 28, 28): "mnist-5k", (3, 32, 32): "cifar10-samples"}
"""Input shape -> the dataset that a victim is timed on where nobody names one; ImageNet photos of its size for the others."""
MOST_BYTES = 4e9
"""Of memory that samples, or the points of an attack's passes, may take."""


def some_victim(text: str) -> Victim:
    """Return a classifier of pictures as job files name it: `mnist-cnn`, `torchvision:resnet18`, `{use: module, ...}`.

    Raises:
        UsageError: there is none such, or it is something else.
    """
    spec = read_victim(text, "--victim")
    info = identified(spec.component.name, spec.component.identify, spec.params, spec.id)
    if info.task != "classification" or info.sample_rate:
        does = "names sounds" if info.task == "classification" else f"does {info.task}"
        raise UsageError(f'victim "{info.id}" {does}, and the benches time classifiers of pictures')
    victim: Victim = resolve(spec.component.build)(spec.params, info)
    return victim


def usual_samples(victim: Victim, device: str) -> int:
    """Return how many samples a host passes through this victim at once where nobody says otherwise."""
    shape = [side or victim.info.native for side in victim.info.input_shape]
    shard = usual_shard(shape)
    return shard if torch.device(device).type != "cpu" else min(shard, samples_of_a_pass(shape, victim.info.native))


def usable_device(name: str) -> torch.device:
    """Return a torch device.

    Raises:
        UsageError: torch knows none of this name, or there is none here.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # of a torch without CUDA
        raise UsageError(f"--device {name}: {str(error).splitlines()[0]}") from None
    return torch.device(name)


def some_samples(
    victim: Victim, samples: int, data: str | None = None, *, repeated: bool = True
) -> tuple[Tensor, Tensor]:
    """Return pixels [samples, C, H, W] and labels [samples].

    Args:
        victim: what is to take them.
        samples: how many.
        data: a dataset as job files name it; None: one that raygrid has of the victim's input shape.
        repeated: small datasets are repeated, which serves timing; off: there are fewer samples then, none counted twice.

    Raises:
        UsageError: there is no such dataset, or it does not fit the victim.
    """
    spec = read_data(data or _usual_data(victim), "--data")
    if spec.component.task != "classification":
        raise UsageError(f"--data: {spec.component.name} is not for classifiers")
    dataset: Dataset = resolve(spec.component.build)(spec.params, min(samples, spec.limit or samples))
    check(dataset)
    x, y = torch.tensor(pixels(dataset.table)), torch.tensor(dataset.table.column("label").to_numpy())
    _check_fit(victim, dataset.name, x, y)
    if samples * x[0].nbytes > MOST_BYTES:
        raise UsageError(f"{samples} samples take {samples * x[0].nbytes / 1e9:.0f} GB: use fewer")
    times = -(-samples // len(x)) if repeated else 1
    return x.repeat(times, 1, 1, 1)[:samples], y.repeat(times)[:samples]


def _usual_data(victim: Victim) -> str:
    shape = victim.info.input_shape
    channels, height, width = shape
    if shape not in DATA and (channels != 3 or height != width):
        raise UsageError(f"no pictures of raygrid's own have the shape {_text(shape)}: name a dataset by --data")
    return DATA.get(shape, f"{{use: imagenet-samples, size: {height or victim.info.native}}}")


def _check_fit(victim: Victim, data: str, x: Tensor, y: Tensor) -> None:
    wanted, classes = victim.info.input_shape, victim.info.classes
    shape = tuple(x.shape[1:])
    if len(shape) != 3 or any(side not in (None, has) for side, has in zip(wanted, shape, strict=True)):
        raise UsageError(
            f'--data: {data} has samples {_text(shape)}, and victim "{victim.info.id}" takes {_text(wanted)}'
        )
    if int(y.max()) >= classes:
        raise UsageError(
            f'--data: {data} has labels up to {int(y.max())}, and victim "{victim.info.id}" has {classes} classes; name a '
            "dataset of its classes by --data"
        )


def _text(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if side is None else str(side) for side in shape)
