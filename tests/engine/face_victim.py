"""A face embedder that a job brings as code, small enough to be computed again by hand, and photos of people for it."""

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import avg_pool2d

WIDTH, CELL = 10, 20
MARK = 77
"""Level of the first pixel of a photo on which `make(faulty=True)` fails as soon as anything about it changes."""


def weights():
    """[10, 192], by a formula."""
    waves = np.sin(np.arange(WIDTH * 192, dtype=np.float64) ** 2 * 1.7)
    return (waves / 8).reshape(WIDTH, 192).astype(np.float32)


class Embedder(nn.Module):
    """Averages of 8 x 8 squares of a frame, rectified, times a fixed matrix."""

    def __init__(self, faulty):
        super().__init__()
        self.hidden, self.last, self.faulty = nn.ReLU(), nn.Linear(192, WIDTH, bias=False), faulty
        self.last.weight.data = torch.tensor(weights())

    def forward(self, x):
        embeddings = self.last(self.hidden(avg_pool2d(x, CELL) - 0.1).flatten(1))
        if not self.faulty:
            return embeddings
        first = x[:, 0, 0, 0] * 255
        changed = ((first - MARK).abs() < 10) & ((first - MARK).abs() > 1e-3)
        return embeddings.masked_fill(changed[:, None], float("nan"))


def make(faulty=False):
    return Embedder(faulty)


def embed(x):
    """The same in NumPy: x [N, 3, 160, 160] in [0, 1] -> [N, 10]."""
    squares = x.reshape(len(x), 3, 8, CELL, 8, CELL).mean((3, 5))
    return np.maximum(squares - 0.1, 0).reshape(len(x), -1) @ weights().T.astype(np.float64)


def write_people(folder, people, photos, mark=None):
    """Write canonical frames, one sub-folder a person; `mark` names a photo that gets the mark, and no other has it."""
    rng = np.random.default_rng(0)
    for i in range(people):
        own = rng.uniform(0.2, 0.8, (8, 8, 3))
        for j in range(photos):
            coarse = (own + rng.normal(0, 0.12, own.shape)).clip(0.05, 0.95)
            fine = np.kron(coarse, np.ones((CELL, CELL, 1))) + rng.normal(0, 0.02, (160, 160, 3))
            levels = np.rint(fine.clip(0, 1) * 255).astype(np.uint8)
            levels[0, 0, 0] = MARK if f"p{i}/{j}.png" == mark else 200
            file = folder / f"p{i}" / f"{j}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(levels).save(file)
    return {"use": "face-folder", "path": str(folder), "aligned": True}
