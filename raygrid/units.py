"""The units of work and what they are about: what a job expands to (grid.py), what hosts run, what rows tell of.

Pure data: datasets and victims stand here as what planning knows of them, and neither torch nor ray is needed.
"""

from dataclasses import dataclass
from typing import NamedTuple

from raygrid.component import Task
from raygrid.enrollment import Enrollment
from raygrid.spec import (
    ONCE,
    AttackSpec,
    DefenseSpec,
    Judging,
    Perceptual,
    VictimSpec,
)
from raygrid.victims.info import VictimInfo


class ShardRef(NamedTuple):
    """A shard as the plan sees it: its fingerprint and its size, without its samples."""

    key: str
    size: int


class Model(NamedTuple):
    """A victim behind a defense: what examples are crafted on and judged by."""

    victim: VictimSpec
    info: VictimInfo
    defense: DefenseSpec
    digest: str
    fit: "Fit | None" = None
    """What the defense has to find out first, on the bare victim."""
    trained: "Fit | None" = None
    """What trains the victim, where it is trained on samples of the data."""

    @property
    def fits(self) -> tuple["Fit", ...]:
        """What has to be found out before there is such a model, in order."""
        return tuple(fit for fit in (self.trained, self.fit) if fit is not None)


class Fit(NamedTuple):
    """Find out what later units share, on samples that are set apart."""

    key: str
    model: Model
    what: AttackSpec | DefenseSpec | Enrollment | VictimSpec
    seed: int
    shard: ShardRef
    classes: int


class Cell(NamedTuple):
    """What a result table shows as one line."""

    id: str
    grid: str
    data: str
    classes: int
    """Number of classes of the dataset."""
    model: Model
    attack: AttackSpec
    seed: int
    judging: Judging = ONCE
    perceptual: tuple[Perceptual, ...] = ()
    """What is measured of its examples besides."""
    layers: bool = False
    """Whether their distance to the original is measured at every layer."""
    detector: bool = False
    """Whether a detector looks for the face in them."""


class Craft(NamedTuple):
    """Make the examples of one shard on one model."""

    key: str
    model: Model
    attack: AttackSpec
    seed: int
    shard: ShardRef
    classes: int
    parent: "Score | None" = None
    """The unit whose successes it inherits: the stage before it, or the next smaller eps. Judged on the same model."""
    judging: Judging = ONCE
    """What decides that a sample needs no attack."""
    fit: Fit | None = None
    """What the attack has to find out first."""
    enrolled: Fit | None = None
    """The clean photos as the model knows them, where faces are verified."""


class Score(NamedTuple):
    """Judge the examples of one craft unit on one model."""

    key: str
    craft: Craft
    model: Model
    cell: Cell
    enrolled: Fit | None = None
    """The clean photos as the model knows them, where faces are verified."""


@dataclass(frozen=True)
class Dataset:
    """A dataset as the plan sees it."""

    name: str
    label: str
    """The name with the parameters that differ from their defaults; tells apart datasets of one grid."""
    classes: int
    classes_stated: bool
    """Whether victims must have just as many classes; else that many at least."""
    shape: tuple[int, int, int]
    shards: tuple[ShardRef, ...]
    fit: ShardRef | None = None
    """The samples that are set apart for fitting."""
    train: ShardRef | None = None
    """Those that are set apart for victims that are trained on them."""
    task: Task = "classification"
    """What victims do with it."""
    sample_rate: int = 0
    """Samples a second of sound; 0: it is none."""
    transcripts: bool = False
    """Whether what is said is known."""
    gallery: ShardRef | None = None
    """All photos, where faces are verified."""
    calibration: int = 0
    """How many people the thresholds are set on."""
    calibration_pairs: int | None = None
    """How many pairs of two of them; None: all that there are."""
    known: int = 0
    """Photos of each person that an attacker may have."""
    seen: tuple[int, int, int] | None = None
    """What victims see of a sample [C, H, W], where they do not see it as it is: the frame cut out of a photo."""
    only_goal: str | None = None
    """The only goal that its trials make sense for; None: any of its task."""

    @property
    def sound(self) -> bool:
        """Whether it is heard, and not seen."""
        return self.sample_rate > 0 or self.task == "transcription"


@dataclass(frozen=True)
class Plan:
    """All units of a job. A score unit that two grids share stands in it twice, with the same key."""

    crafts: dict[str, Craft]
    scores: list[Score]
    cells: dict[str, Cell]

    @property
    def fits(self) -> dict[str, Fit]:
        """What is to be fitted first, by key."""
        found = [fit for craft in self.crafts.values() for fit in (*craft.model.fits, craft.fit, craft.enrolled)]
        found += [fit for score in self.scores for fit in (*score.model.fits, score.enrolled)]
        return {fit.key: fit for fit in found if fit is not None}
