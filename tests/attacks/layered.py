"""Small victims with named layers, for attacks that look inside; and what counts the passes through them."""

from functools import cache

import torch
from cases import batch_of
from models import Tiny, digits, pixels
from torch import Tensor, nn

from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

CLASSES = 10
HELD_OUT = 900


def layered(model: nn.Module, shape: tuple[int, int, int], classes: int = CLASSES) -> Victim:
    """A victim around a model that takes pixels as they are."""
    info = VictimInfo("small", "small", classes, shape, (0.0,), (1.0,), "", license="", source="")
    return Victim(model, info)


@cache
def small_digits() -> tuple[Tensor, Tensor]:
    """A thousand digits of 14x14 pixels."""
    x, y = digits(1000)
    return nn.functional.avg_pool2d(x, 2), y


@cache
def perceptron(seed: int) -> Victim:
    """A network of 196-64-32-10 units trained on 900 of them for two seconds; 9 in 10 of the others are right."""
    x, y = small_digits()
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(196, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, CLASSES)
        )
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(15):
            for batch in torch.randperm(HELD_OUT).split(100):
                optimizer.zero_grad()
                noisy = x[batch] + 0.1 * torch.randn_like(x[batch])
                nn.functional.cross_entropy(model(noisy), y[batch]).backward()
                optimizer.step()
    return layered(model, (1, 14, 14))


class Probe(Victim):
    """A victim that counts the samples that pass through it or a part of it, forwards and backwards."""

    def __init__(self, victim: Victim) -> None:
        super().__init__(victim.model, victim.info)
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        return self._noted(super().forward(x))

    @property
    def layers(self):
        probe, layers = self, super().layers

        class Noted:
            rectified = staticmethod(layers.rectified)

            def features(self, x: Tensor, layer: str) -> Tensor:
                return probe._noted(layers.features(x, layer))

            def resume(self, h: Tensor, layer: str) -> Tensor:
                return probe._noted(layers.resume(h, layer))

        return Noted()

    def _noted(self, values: Tensor) -> Tensor:
        self.forwards += len(values)
        if values.requires_grad:
            values.register_hook(self._count)
        return values

    def _count(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def small() -> nn.Sequential:
    """Tiny as a chain: layers "0" (convolution), "1" (ReLU), "2" (flat)."""
    tiny = Tiny()
    tiny.head.weight.data *= 4
    return nn.Sequential(tiny.conv, nn.ReLU(), nn.Flatten(), tiny.head)


def small_victim():
    return layered(small(), (1, 6, 6), 3)


def small_batch(n=9):
    x = pixels(n, 1, 6, 6, seed=5)
    return batch_of(x, small_victim()(x).argmax(1), 3)
