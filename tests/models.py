"""Networks that the tests of attacks share: small, and known in closed form where truth is asked for."""

from functools import cache

import torch
from torch import Tensor, nn

from raygrid.component import resolve
from raygrid.data import dataset
from raygrid.registry import find, parse
from raygrid.victims.victim import Victim

BISECTIONS = 60


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pixels(*shape: int, seed: int = 0) -> Tensor:
    """Numbers in [0, 1)."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class Linear(nn.Module):
    """Logits W x + b of flat inputs: the victim whose robustness is known exactly."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


def radius(victim: Linear, x: Tensor, y: Tensor, norm: str, rival: Tensor | None = None) -> Tensor:
    """The least eps [B] at which some point of ball and box is misclassified; infinite where the whole box is not.

    For a rival class c, the ball's best point lowers the margin (w_y - w_c) x by the most. The nearest rival counts, or the given.
    """
    w, b, flat = victim.weight.detach().double(), victim.bias.detach().double(), x.flatten(1).double()
    rivals = []
    for c in range(len(w)):
        direction = w[y] - w[c]
        margin = (direction * flat).sum(1) + b[y] - b[c]
        room = torch.where(direction > 0, flat, 1 - flat)
        least = LEAST[norm](direction.abs(), room, margin.clamp_min(0))
        excluded = y == c if rival is None else rival != c
        rivals.append(torch.where(excluded, torch.inf, least))
    return torch.stack(rivals).amin(0)


def _least_linf(w: Tensor, room: Tensor, margin: Tensor) -> Tensor:
    """Every coordinate moves by eps or to the box's edge; eps by bisection of the drop, which rises with it."""
    return _bisect(lambda eps: (w * room.minimum(eps[:, None])).sum(1), w, room, margin, torch.ones_like(margin))


def _least_l2(w: Tensor, room: Tensor, margin: Tensor) -> Tensor:
    """Coordinates move in proportion to |w| or to the box's edge; the factor by bisection."""
    most = (room / w.clamp_min(1e-12)).amax(1)
    factor = _bisect(lambda t: (w * room.minimum(t[:, None] * w)).sum(1), w, room, margin, most)
    return torch.where(factor.isinf(), factor, room.minimum(factor.nan_to_num(posinf=0)[:, None] * w).norm(dim=1))


def _least_l1(w: Tensor, room: Tensor, margin: Tensor) -> Tensor:
    """Coordinates move to the box's edge in the order of |w|, until the margin is gone."""
    order = w.argsort(1, descending=True)
    w, room = w.gather(1, order), room.gather(1, order)
    drop, moved = (w * room).cumsum(1), room.cumsum(1)
    last = torch.searchsorted(drop, margin[:, None]).clamp_max(w.shape[1] - 1)
    short = drop.gather(1, last).squeeze(1) - margin
    least = moved.gather(1, last).squeeze(1) - short / w.gather(1, last).squeeze(1).clamp_min(1e-12)
    return torch.where(drop[:, -1] < margin, torch.inf, least)


def _bisect(drop, w: Tensor, room: Tensor, margin: Tensor, most: Tensor) -> Tensor:
    low, high = torch.zeros_like(margin), most
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        enough = drop(middle) >= margin
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return torch.where((w * room).sum(1) < margin, torch.inf, high)


LEAST = {"linf": _least_linf, "l2": _least_l2, "l1": _least_l1}


class Tiny(nn.Module):
    """A small convolutional classifier of [B, 1, 6, 6] in three classes, whose weights are written out by a formula."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.head = nn.Linear(48, 3)
        for i, layer in enumerate((self.conv, self.head)):
            waves = torch.sin(torch.arange(layer.weight.numel(), dtype=torch.float64).square() * (1.3 + i))
            layer.weight.data = (waves / layer.weight[0].numel() ** 0.5).view_as(layer.weight).float()
            layer.bias.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return 4 * self.head(self.conv(x).relu().flatten(1))


class Counting(nn.Module):
    """A victim that counts how many samples passed through it, forwards and backwards."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        outputs = self.model(x)
        if outputs.requires_grad:
            outputs.register_hook(self._count)
        return outputs

    def _count(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@cache
def victim(name: str) -> Victim:
    """A registered victim, with its defaults."""
    component = find("victim", name)
    params = parse(component, {})
    return resolve(component.build)(params, resolve(component.identify)(params, name))


@cache
def digits(n: int) -> tuple[Tensor, Tensor]:
    """The first held-out digits of mnist-5k, one of each class in turn: x [n, 1, 28, 28] and labels [n]."""
    component = find("data", "mnist-5k")
    table = resolve(component.build)(parse(component, {}), n).table
    return torch.tensor(dataset.pixels(table)), torch.tensor(table.column("label").to_numpy())
