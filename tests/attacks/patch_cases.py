"""Stickers and insects in the variants that every test of them sees, and the road signs that they are put on."""

import math
from functools import cache

import pytest
import torch
from models import victim

from raygrid.batch import Batch, constraint_of
from raygrid.channels.catalog import VIEW, View
from raygrid.component import resolve
from raygrid.data.dataset import pixels as pixels_of
from raygrid.goals import Goal
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.spec import AttackSpec, ChannelSpec

torch.set_num_threads(1)

CASES = {
    "square": ("sticker", {"steps": 6, "area": 0.1}),
    "disk": ("sticker", {"mask": "disk", "steps": 6, "area": 0.2, "place": (0.4, 0.6)}),
    "bars": ("sticker", {"mask": "bars", "steps": 6, "printability": 0.5, "smoothness": 0.1, "closeness": 0.1}),
    "face": ("sticker", {"mask": "face", "steps": 6, "closeness": 0.1, "closeness_norm": "l1"}),
    "random": ("insects", {"queries": 21}),
    "pgpe": ("insects", {"queries": 21, "search": "pgpe", "within": "face", "area": 0.2}),
}
EVERY = pytest.mark.parametrize("case", CASES)
SPEED_LIMIT = 4
GOALS = {
    "untargeted": {},
    "targeted": {"goal": "targeted", "target": SPEED_LIMIT},
    "random-target": {"goal": "random-target"},
}


@cache
def signs(n=12, only=()):
    component = find("data", "road-signs")
    table = resolve(component.build)(parse(component, {"classes": only}), n).table
    labels = torch.tensor(table.column("label").to_numpy())
    return Batch(table.column("sample_id").to_pylist(), torch.tensor(pixels_of(table)), labels, 12)


def net():
    return victim("sign-cnn")


def spec(case, **rest):
    name, params = CASES.get(case, (case, {}))
    fields = {key: rest.pop(key) for key in list(rest) if key in AttackSpec.__dataclass_fields__}
    component = find("attack", name)
    return AttackSpec(component, parse(component, {**params, **rest}), "", math.inf, **fields)


def through(awareness="channel", views=None):
    return {"channel": ChannelSpec(VIEW, views or View()), "awareness": awareness}


def direct(case, oracle, batch, goal=None):
    """Run the attack itself."""
    attack = spec(case)
    goal = goal or Goal("untargeted", batch.labels)
    randomness = Randomness(0, attack.component.name, batch.ids)
    return resolve(attack.component.build)(
        oracle, goal, batch.x, constraint_of(attack, batch), randomness, **dict(attack.params)
    )
