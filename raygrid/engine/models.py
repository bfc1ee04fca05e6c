"""Models as hosts build them, and what keeps a few of them."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from raygrid.component import resolve
from raygrid.units import Model
from raygrid.victims.victim import Victim

T = TypeVar("T")


class Cache:
    """A mapping that forgets what was used least recently once it holds more than `most`."""

    def __init__(self, most: int, cost: Callable[[Any], int] = lambda _: 1) -> None:
        self.most, self.cost = most, cost
        self.items: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value under the key; made, and room made for it, where it is missing."""
        if key in self.items:
            self.items.move_to_end(key)
            value: T = self.items[key]
            return value
        made = make()
        while self.items and sum(map(self.cost, self.items.values())) + self.cost(made) > self.most:
            self.items.popitem(last=False)
        self.items[key] = made
        return made


def load_model(
    model: Model,
    device: torch.device | str = "cpu",
    fitted: Mapping[str, Tensor] | None = None,
    trained: Mapping[str, Tensor] | None = None,
) -> Victim:
    """Build a victim and put its defense around it, with what the defense's fit found, and the weights that the victim's own found.

    Raises:
        UsageError: its weights or code can't be loaded.
    """
    weights = () if trained is None else (trained,)
    victim: Victim = resolve(model.victim.component.build)(model.victim.params, model.info, *weights)
    found = () if fitted is None else (fitted,)
    defended: Victim = resolve(model.defense.component.build)(model.defense.params, victim, *found)
    return defended.to(device)


def bytes_of(model: Victim) -> int:
    """Return how much memory the weights of a model take."""
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
