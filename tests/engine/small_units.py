"""Units of work in a few words, for tests of what runs next and who does it: nothing in them can be computed."""

from types import SimpleNamespace

from raygrid.engine.work import Task
from raygrid.units import Craft, Model, Score, ShardRef


def model(name):
    return Model(SimpleNamespace(id=name), None, SimpleNamespace(is_none=True), name)


def craft(name, of="m", attack="pgd", shard="s"):
    spec = SimpleNamespace(component=SimpleNamespace(name=attack), norm="linf", params="")
    return Craft(f"craft-{name}", model(of), spec, 0, ShardRef(shard, 1), 10)


def score(name, crafted, on=None):
    """A score unit; white-box unless it is on another model."""
    return Score(f"score-{name}", crafted, model(on) if on else crafted.model, None)


def white_box(name, of="m", attack="pgd"):
    return score(name, craft(name, of, attack))


def task(name, of="m", kind="k"):
    unit = white_box(name, of)
    return Task(unit.craft.model, "s", (unit.craft, unit), kind)


def keys(tasks):
    return [task.units[-1].key for task in tasks]
