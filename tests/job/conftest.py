"""A small registry of its own, so that these tests do not move when the catalogs do."""

from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, Field

from raygrid.component import Component, Params
from raygrid.job import load_job

GOALS = ("untargeted", "targeted", "random-target")


def _not_html(path: str) -> str:
    if path.endswith(".html"):
        raise ValueError("a web page is no checkpoint; give a .safetensors file")
    return path


class Torchvision(Params):
    name: str
    """Name of the model."""
    weights: Annotated[str, AfterValidator(_not_html)] = "DEFAULT"
    """Enum or file."""
    input: tuple[int, int, int] | None = None
    """Channels, height, width."""
    mean: tuple[float, ...] = (0.0,)
    """Per channel."""
    trust: bool = False
    """Run the code."""


class Samples(Params):
    size: int = Field(224, ge=1)
    """Pixels a side."""


class PGD(Params):
    steps: int = Field(40, ge=1)
    """Gradient steps."""
    step_size: float | None = Field(None, gt=0)
    """Length of a step."""
    loss: Literal["ce", "margin"] = "ce"
    """What is descended."""
    random_start: bool = True
    """Start at a random point."""
    seeds: int | str = 0
    """An integer or a text."""


class Fog(Params):
    depth: float = Field(1.0, ge=0)
    """Metres."""


class Noise(Params):
    sigma: float
    """Standard deviation."""


class Inside(Params):
    site: str
    """Layer."""

    def reaches_inside(self):
        return True


class Detector(Params):
    def detects(self):
        return True


COMPONENTS = (
    Component("data", "imagenet-samples", "20 photos.", "m:f", Samples),
    Component("victim", "efficientnet-lite0", "A net.", "m:f"),
    Component("victim", "efficientnet-lite1", "A larger net.", "m:f"),
    Component("victim", "torchvision", "Any of torchvision.", "m:f", Torchvision, shorthand="name"),
    Component("defense", "none", "As it is.", "m:f"),
    Component("defense", "noise", "Noise at the input.", "m:f", Noise),
    Component("defense", "inside", "Noise in a layer.", "m:f", Inside),
    Component("defense", "detector", "Cries wolf.", "m:f", Detector),
    Component("attack", "pgd", "Descent.", "m:f", PGD, source="Madry 2018", norms=("linf", "l2", "l1"), goals=GOALS),
    Component("attack", "apgd-ce", "Auto-PGD.", "m:f", PGD, norms=("linf", "l2"), goals=("untargeted",)),
    Component("attack", "blur", "No ball.", "m:f", access="none", goals=("untargeted",)),
    Component("attack", "closest", "No eps matters.", "m:f", norms=("l2",), goals=GOALS, minimal_norm=True),
    Component("channel", "fog", "Between you and it.", "m:f", Fog),
    Component("channel", "glass", "Likewise.", "m:f"),
    Component("attack", "uniform", "Noise.", "m:f", access="none", norms=("linf",), goals=("untargeted",)),
    Component("attack", "sparse", "Few values.", "m:f", PGD, norms=("l0",), goals=("untargeted",)),
)


@pytest.fixture(scope="session")
def components():
    return {(c.kind, c.name): c for c in COMPONENTS}


@pytest.fixture
def load(tmp_path, monkeypatch, components):
    """Write the text to `job.yaml` in the working folder and load it."""
    monkeypatch.chdir(tmp_path)

    def load(text, *overrides, results=None):
        path = tmp_path.joinpath("job.yaml").relative_to(tmp_path)
        path.write_text(text)
        return load_job(path, overrides, results, components)

    return load
