"""Every defense, one line each, and what each is held to. A new defense costs a line here."""

from dataclasses import dataclass, field
from typing import Any

import torch
from models import numbers, pixels, victim
from torch import Tensor, nn

from raygrid.component import resolve
from raygrid.randomness import Draws, Randomness
from raygrid.registry import find, parse
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

torch.set_num_threads(1)


@dataclass(frozen=True)
class Case:
    """A defense, and what it does."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    """Parameters at which it does something."""
    off: dict[str, Any] | None = None
    """Parameters at which it changes nothing, bit for bit; None: there are none."""
    random: bool = False
    """Whether it draws random numbers."""
    soft_differs: str = ""
    """Why an attacker's gradient is that of something else than the answer; empty: it is the answer's."""

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.params.items())])


VOTES = "a vote has no gradient: one draw's stands in"
MEAN = "a majority has no gradient: the mean's stands in"
ALL = "an attacker wants the same answer to squeezed pictures"

DEFENSES = [
    Case("noise", {"sigma": 0.2}, {"sigma": 0.0}, random=True),
    Case("noise", {"sigma": 0.2, "votes": 5}, {"sigma": 0.0, "votes": 5}, random=True, soft_differs=VOTES),
    Case("noise", {"sigma": 0.2, "site": "all"}, {"sigma": 0.0, "site": "all"}, random=True),
    Case("jpeg", {"quality": 30}),
    Case("bit-depth", {"bits": 2}, {"bits": 8}),
    Case("median", {"size": 3}, {"size": 1}),
    Case("median", {"size": 2}),
    Case("total-variation", {"weight": 0.1, "steps": 20}, {"weight": 0.0, "drop": 0.0}, random=True),
    Case("total-variation", {"weight": 0.1, "drop": 0.0, "steps": 20}),
    Case("resize-pad", {"least": 0.7}, {"least": 1.0}, random=True),
    Case("multi-scale", {}, {"scales": [1.0]}),
    Case("multi-scale", {"crops": "corners", "flips": True, "vote": "majority"}, soft_differs=MEAN),
    Case("feature-squeezing", {"threshold": 0.5}, soft_differs=ALL),
    Case("output-policy", {"temperature": 3.0}, {}),
    Case("output-policy", {"top": 3}, {"top": 10}),
    Case("output-policy", {"step": 0.05}),
    Case("output-policy", {"label_only": True}),
]
CHANGE_PICTURES = [
    case for case in DEFENSES if case.name in ("jpeg", "bit-depth", "median", "total-variation", "resize-pad")
]


def defended(name: str, bare: Victim | None = None, **params: Any) -> Any:
    """The victim, mnist-cnn unless another is given, behind a defense."""
    component = find("defense", name)
    return resolve(component.build)(parse(component, params), bare or victim("mnist-cnn"))


def draws(ids: list[str], seed: int = 0, purpose: str = "judge/0") -> Draws:
    """The numbers of one look at each of some samples."""
    return Randomness(seed, "defense", ids).draws(torch.arange(len(ids)), [purpose] * len(ids))


def ask(model: Any, x: Tensor, at: Draws) -> Tensor:
    """The logits of a victim, with its numbers if it takes any."""
    return model(x, at) if model.random else model(x)


def in_color(side: int = 16, channels: int = 3) -> tuple[Victim, Tensor]:
    """A small victim of colored pictures with fixed weights, and smooth pictures for it [6, channels, side, side]."""
    model = nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 4)
    )
    for i, weight in enumerate(model.parameters()):
        weight.data = numbers(*weight.shape, seed=i) / 3
    info = VictimInfo("colors", "test", 4, (channels, None, None), (0.5,) * channels, (0.25,) * channels, "")
    smooth = nn.functional.interpolate(pixels(6, channels, 4, 4), (side, side), mode="bilinear")
    return Victim(model, info), smooth
