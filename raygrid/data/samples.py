"""`imagenet-samples` and `cifar10-samples`: the labeled images that the foolbox wheel carries, read as data."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from raygrid.assets import Asset, fetch_all
from raygrid.component import Component, Params
from raygrid.data.catalog import CIFAR10_SAMPLES, IMAGENET_SAMPLES, ImagenetParams
from raygrid.data.dataset import Dataset, make_table
from raygrid.data.images import open_image, to_pixels
from raygrid.data.pins import CIFAR10_IMAGES, IMAGENET_PHOTOS

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def imagenet_samples(params: ImagenetParams, limit: int | None) -> Dataset:
    """Return the first `limit` of 20 photos, in the order of the package."""
    assets = IMAGENET_PHOTOS[:limit]
    x = [
        to_pixels(open_image(file, str(file)), str(file), size=params.size, crop=params.crop)
        for file in fetch_all(assets)
    ]
    return _labeled(IMAGENET_SAMPLES, assets, x, classes=1000)


def cifar10_samples(params: Params, limit: int | None) -> Dataset:
    """Return the first `limit` of 20 images, in the order of the package."""
    del params  # it has none
    assets = CIFAR10_IMAGES[:limit]
    x = [to_pixels(open_image(file, str(file)), str(file)) for file in fetch_all(assets)]
    return _labeled(CIFAR10_SAMPLES, assets, x, len(CIFAR10_CLASSES), CIFAR10_CLASSES)


def _labeled(
    component: Component, assets: Sequence[Asset], x: list[np.ndarray], classes: int, names: tuple[str, ...] = ()
) -> Dataset:
    """Take ids and labels from the file names: `imagenet_00_243.jpg` is sample 00 of class 243."""
    ids = [PurePosixPath(asset.path).stem for asset in assets]
    labels = np.array([int(stem.rsplit("_", 1)[1]) for stem in ids], dtype=np.int64)
    return Dataset(
        name=component.name,
        table=make_table(ids, np.stack(x), labels),
        classes=classes,
        class_names=names,
        license=component.license,
        source=component.source,
    )
