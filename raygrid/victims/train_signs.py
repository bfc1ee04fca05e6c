"""Trains the sign victim: `python -m raygrid.victims.train_signs` writes its weights, in minutes on one core.

Trained on the 4,800 drawn signs of `road-signs`, split `train`, each seen through a view of its own in every epoch; judged on the
1,200 held out. Signs and views are synthetic. The shipped weights' accuracy on the held-out signs, in %, where views are five looks
at each sign, and PGD has 40 steps (L-inf, one random start) and no views:

    clean  default views  wide views  PGD 1/255  2/255  4/255  8/255
     99.9           99.9        99.3       99.4   92.2   58.5   17.8
"""

import logging
from dataclasses import dataclass, replace

import torch
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from raygrid.assets import sha256_of
from raygrid.channels.catalog import View
from raygrid.channels.view import view
from raygrid.component import resolve
from raygrid.data.catalog import ROAD_SIGNS, SignParams, SignSplit
from raygrid.data.dataset import pixels
from raygrid.randomness import Randomness
from raygrid.victims.loading import weights_file
from raygrid.victims.sign_cnn import sign_cnn
from raygrid.victims.train_mnist import initialize, pgd_example

log = logging.getLogger(__name__)

ARCH = "sign-cnn.views"
WIDE = View(
    scale=0.25,
    rotation=12,
    tilt=25,
    shift=0.08,
    blur=1.0,
    gain=0.4,
    contrast=0.3,
    brightness=0.15,
    color=0.1,
    noise=0.03,
)
"""The views that it learns from: wider than the channel's defaults."""


@dataclass(frozen=True)
class Recipe:
    """How the net is trained."""

    epochs: int = 30
    views: View = WIDE
    learning_rate: float = 3e-3
    """At its peak; it rises and falls over one cycle."""
    weight_decay: float = 1e-3
    batch: int = 48
    seed: int = 0


@dataclass(frozen=True)
class Signs:
    """Pixels [N, 3, 32, 32] in [0, 1], labels [N] and ids."""

    x: Tensor
    y: Tensor
    ids: list[str]


def signs(split: SignSplit, limit: int | None = None) -> Signs:
    """Return the first `limit` signs of a split of `road-signs`."""
    table = resolve(ROAD_SIGNS.build)(SignParams(split=split), limit).table
    labels = torch.tensor(table.column("label").to_numpy())
    return Signs(torch.from_numpy(pixels(table)), labels, table.column("sample_id").to_pylist())


def train(recipe: Recipe, data: Signs) -> nn.Sequential:
    """Train the net as the recipe says: Adam with decoupled weight decay, one-cycle learning rate, a fresh view each epoch."""
    generator = Generator().manual_seed(recipe.seed)
    randomness = Randomness(recipe.seed, "train-signs", data.ids)
    model = sign_cnn()
    initialize(model, generator)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * -(-len(data.y) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps)
    for epoch in range(recipe.epochs):
        total = 0.0
        order = torch.randperm(len(data.y), generator=generator)
        for rows in torch.split(order, recipe.batch):
            x = view(recipe.views, data.x[rows], randomness, f"epoch/{epoch}", rows)
            optimizer.zero_grad()
            loss = cross_entropy(model(x), data.y[rows])
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        log.info("epoch %d: loss %.4f", epoch + 1, total / len(data.y))
    return model


def accuracy(model: nn.Module, data: Signs, views: View | None = None, looks: int = 1) -> float:
    """Return the share of signs that are read rightly; with views, over this many looks at each through the channel."""
    everyone = torch.arange(len(data.y))
    randomness = Randomness(0, "accuracy", data.ids)
    right = 0
    with torch.no_grad():
        for look in range(looks):
            x = data.x if views is None else view(views, data.x, randomness, f"look/{look}", everyone)
            right += int((model(x).argmax(1) == data.y).sum())
    return right / (looks * len(data.y))


def main() -> None:
    """Train the net, write its weights beside this file and tell its figures and its sha256."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # results depend on the number of threads
    training, held = signs("train"), signs("held-out")
    model = train(Recipe(), training)
    path = weights_file(ARCH)
    save_file(model.state_dict(), path)
    log.info("%s: sha256 %s", path, sha256_of(path))
    for name, views in (("clean", None), ("default views", View()), ("wide views", WIDE)):
        log.info("%s: %.1f %%", name, 100 * accuracy(model, held, views, looks=5))
    for eps in (1, 2, 4, 8):
        fooling = pgd_example(model, held.x, held.y, eps / 255, 40, eps / 255 / 16, Generator().manual_seed(0))
        log.info("PGD-40 at eps %d/255: %.1f %%", eps, 100 * accuracy(model, replace(held, x=fooling)))


if __name__ == "__main__":
    main()
