"""`torchvision`: a torchvision dataset that is already on this disk. Imports torchvision (and torch) when it is built."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from raygrid.data.catalog import TorchvisionParams
from raygrid.data.dataset import Dataset, make_table
from raygrid.data.images import stack, to_pixels
from raygrid.data.labels import count_classes, integer_labels, interleave
from raygrid.data.paths import existing_folder
from raygrid.errors import UsageError, did_you_mean

DEFAULT_SPLITS = {"ImageNet": "val", "Imagenette": "val", "Places365": "val"}


def torchvision(params: TorchvisionParams, limit: int | None) -> Dataset:
    """Read `limit` samples: one of each class in turn where the dataset lists its `targets`, else its first. Ids are its rows.

    Raises:
        UsageError: no such dataset or split, it is not under `root`, or its samples are not images with one label each.
    """
    samples = _open(params)
    targets, names = _targets(samples), _class_names(samples)
    if targets is None and not names and not params.classes:
        raise UsageError(f"classes: torchvision's {params.name} does not say how many classes it has; state it")
    order = (np.arange(len(samples)) if targets is None else interleave(targets))[:limit]
    ids = [str(row) for row in order]
    images, labels = [], []
    for row in order:
        image, label = _pair(samples[int(row)], params.name)
        images.append(to_pixels(image, f"{params.name}, row {row}", **params.shaping()))
        labels.append(label)
    largest = -1 if targets is None else int(targets.max(initial=-1))
    return Dataset(
        name=f"torchvision:{params.name}",
        table=make_table(ids, stack(images, ids), integer_labels(np.asarray(labels), f"labels of {params.name}")),
        classes=count_classes(largest, params.classes, names),
        classes_stated=bool(params.classes or names),
        class_names=names,
        source=f"torchvision {params.name}, {params.root}",
    )


def _open(params: TorchvisionParams) -> Any:
    from torchvision import datasets

    if params.name not in datasets.__all__:
        raise UsageError(
            f'name: torchvision has no dataset "{params.name}"{did_you_mean(params.name, datasets.__all__)}'
        )
    constructor = getattr(datasets, params.name)
    root = existing_folder(params.root, "root")
    try:
        return constructor(root=str(root), **_options(constructor, params))
    except TypeError as error:
        raise UsageError(f"name: torchvision's {params.name} needs more than a root and a split ({error})") from error
    except (RuntimeError, OSError, ValueError, ImportError) as error:
        raise UsageError(
            f'torchvision {params.name} in "{params.root}": {error}. raygrid downloads no dataset itself'
        ) from error


def _options(constructor: Callable[..., Any], params: TorchvisionParams) -> dict[str, Any]:
    """Return the split in the words of this dataset."""
    known = inspect.signature(constructor).parameters
    split = params.split or DEFAULT_SPLITS.get(params.name, "test")
    options: dict[str, Any] = {"download": False} if "download" in known else {}
    if "split" in known:
        return {**options, "split": split}
    if "train" in known:
        if split not in {"train", "test"}:
            raise UsageError(f'split: torchvision\'s {params.name} has "train" and "test", not "{split}"')
        return {**options, "train": split == "train"}
    if params.split:
        raise UsageError(f"split: torchvision's {params.name} has no splits; leave it out")
    return options


def _targets(samples: Any) -> np.ndarray | None:
    """Return the labels [N] that most datasets list, so that none of them needs its images read."""
    targets = np.asarray(getattr(samples, "targets", None))
    return targets if targets.ndim == 1 and targets.dtype.kind in "iu" else None


def _class_names(samples: Any) -> tuple[str, ...]:
    # ImageNet gives a tuple of synonyms for each class.
    return tuple(name[0] if isinstance(name, tuple) else str(name) for name in getattr(samples, "classes", ()))


def _pair(sample: Any, name: str) -> tuple[Image.Image, Any]:
    if isinstance(sample, tuple) and len(sample) == 2 and isinstance(sample[0], Image.Image):
        return sample
    raise UsageError(
        f"name: torchvision's {name} does not yield (image, label) pairs; raygrid takes classification datasets"
    )
