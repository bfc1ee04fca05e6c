"""What a victim, dataset, attack, defense or channel says of itself: the one entry from which help texts, the JSON Schema,
`raygrid list`, `raygrid describe` and the validation of job files follow. Imports neither torch nor ray."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["victim", "data", "attack", "defense", "channel", "enrollment"]
Access = Literal["gradient", "score", "decision", "none"]
"""What may be asked of a victim: its gradient, its scores, its decisions, or nothing at all. Each includes the next."""

Task = Literal["classification", "verification", "transcription"]
"""What a victim does: name a class, embed a face that is compared with others, or write what is said."""

ACCESS_ORDER: tuple[Access, ...] = ("none", "decision", "score", "gradient")
ALL_GOALS = ("untargeted", "targeted", "random-target")


class Params(BaseModel):
    """Parameters of one component: typed fields, each with a string under it. Unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def passes(self) -> tuple[int, int]:
        """Return how many forward and backward passes an attack with these parameters spends on a sample at most."""
        return 0, 0

    def least_passes(self) -> tuple[int, int]:
        """Return how many forward and backward passes an attack with these parameters takes until it has an example of its own."""
        return 1, 0

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        """Say why an attack with these parameters makes no sense on inputs [C, H, W] of this shape; None where it does."""
        return None

    def rivals_wanted(self) -> int | None:
        """Return how many classes besides the true one a person wants an attack to go for; None: as many as its default says, or
        all there are."""
        return None

    def most_pixels(self, shape: tuple[int, int, int]) -> int | None:
        """Return how many pixels of inputs [C, H, W] of this shape an attack with these parameters may change; None: any number."""
        return None

    def only_on(self) -> str | None:
        """Name the only dataset on whose samples an attack with these parameters knows its way about; None: any will do."""
        return None

    def only_on_faces(self) -> bool:
        """Whether an attack with these parameters knows its way about canonical frames of faces only."""
        return False

    def averages_over(self) -> str:
        """Name the randomness that an attack with these parameters imagines and averages over by itself: `input` or `hidden` noise,
        or `input+hidden`; empty: none."""
        return ""

    def looks_into(self) -> str | None:
        """Name the hidden layer that an attack with these parameters looks into; None: none."""
        return None

    def fit_passes(self) -> tuple[int, int]:
        """Return how many forward and backward passes its `fit` spends on each of its samples at most."""
        return 1, 0

    def needs_fit(self) -> bool:
        """Whether a component with these parameters uses what its `fit` finds."""
        return False

    def rehearses(self) -> bool:
        """Whether an attack with these parameters plays its examples in rooms of its own while it crafts, and needs no channel for
        that."""
        return False

    def without_slope(self) -> bool:
        """Whether a channel with these parameters has no gradient to look through."""
        return False

    def computed_by(self) -> tuple[str, ...]:
        """Name the packages whose version decides what a component with these parameters computes, besides raygrid's own."""
        return ()

    def keyed(self) -> Any:
        """Return these parameters as keys have them: files by what they hold, not by where they lie."""
        return self.model_dump(mode="json")

    def measured_rooms(self) -> Mapping[str, frozenset[str]]:
        """Name the impulse responses in files that a channel or an attack with these parameters plays through: split -> digests."""
        return {}

    def draws_at_random(self) -> bool:
        """Whether a defense with these parameters makes a victim answer at random."""
        return False

    def detects(self) -> bool:
        """Whether a defense with these parameters may raise the alarm."""
        return False

    def reaches_inside(self) -> bool:
        """Whether a defense with these parameters changes what hidden layers hold, and so has to stand right around the victim."""
        return False

    def for_pictures(self) -> bool:
        """Whether an attack or a defense with these parameters changes pictures, and makes nothing of sound."""
        return False

    def hears(self, norm: str) -> bool:
        """Whether an attack with these parameters that is for sound as well is so in this norm."""
        return True

    def reads_classes(self) -> bool:
        """Whether a defense with these parameters takes a victim's outputs for scores of classes, which embeddings are not."""
        return False

    def averages_answers(self) -> bool:
        """Whether a defense with these parameters makes one answer of the mean of several."""
        return False

    def leaves(self, most: Access) -> Access:
        """Return the most that may be asked of a victim behind a defense with these parameters, where it gave `most` before."""
        return most

    def named(self, name: str) -> str:
        """Name a component with those of these parameters that differ from their defaults."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return f"{name}({','.join(f'{k}={v}' for k, v in sorted(values.items()))})" if values else name


@dataclass(frozen=True)
class Component:
    """One entry of the registry."""

    kind: Kind
    name: str
    """What a job file says after `use:`."""
    summary: str
    """One line for `raygrid list`."""
    build: str
    """`module:callable`, imported where the component runs and never to plan. Signatures by kind: `raygrid/registry.py`."""
    params: type[Params] = Params
    version: int = 1
    """Bumped whenever its results change, so that old units are computed again."""
    source: str = ""
    """Paper or package, with its year."""
    license: str = ""
    """License of weights or data, as their package states it."""
    shorthand: str | None = None
    """The parameter that the text after the colon fills in `name:text`."""
    identify: str | None = None
    """`module:callable` that says, without torch, what a victim is: `params -> VictimInfo`."""
    task: Task = "classification"
    """Data: what victims do with it. Attacks, defenses and channels: `transcription` where they are for sound."""
    heard: bool = False
    """Whether it is sound, or for sound, whatever victims do with it; all that has to do with transcription is."""
    speller: str = ""
    """Victims that write: `module:callable` that returns what spells a phrase for them, without torch, see `engine/phrases.py`."""
    access: Access = "gradient"
    """Attacks: what the attack asks of its victim."""
    norms: tuple[str, ...] = ()
    """Attacks: the norms of the balls it searches; none for one that keeps to no ball, and then takes no eps."""
    goals: tuple[str, ...] = ()
    """Attacks: the goals it can pursue."""
    minimal_norm: bool = False
    """Attacks: looks for the closest example there is, so that one run serves every eps."""
    mask: str | None = None
    """Attacks: `module:callable` that says which pixels it may change; None: all. Signature: `raygrid/registry.py`."""
    fit: str = ""
    """Attacks, defenses and victims: `module:callable` that finds out once, on samples set apart, what all their units share (a
    victim's weights); for those whose parameters say that they need it. Signatures: `raygrid/registry.py`."""
    suite: bool = False
    """Attacks: several in turn, each on what the former left; `build` says which."""

    @property
    def sound(self) -> bool:
        """Whether it is sound, or for sound, and not for pictures."""
        return self.heard or self.task == "transcription"


@dataclass(frozen=True)
class Stage:
    """One attack of a suite."""

    attack: str
    """Name of the attack."""
    params: dict[str, Any] = field(default_factory=dict)
    """Parameters that differ from the attack's defaults."""
    eot: int = 1
    """Draws of the victim's randomness that each look averages over."""
    when: str = ""
    """Name of the evidence that calls for the stage, see evidence.py; empty: always."""


def resolve(path: str) -> Any:
    """Import `module:attribute`."""
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
