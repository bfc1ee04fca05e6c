"""A job after validation: concrete choices, every axis already expanded. What job.py makes and grid.py crosses."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from raygrid.component import Component, Params, Task
from raygrid.costs import Costs
from raygrid.errors import UsageError

GoalName = Literal["untargeted", "targeted", "random-target", "impersonate", "dodge", "transcribe", "garble"]
VERIFICATION_GOALS: tuple[GoalName, ...] = ("impersonate", "dodge")
"""What fooling means where a victim compares faces: to be taken for the target person, or not to be known for oneself."""
TRANSCRIPTION_GOALS: tuple[GoalName, ...] = ("transcribe", "garble")
"""What fooling means where a victim writes what it hears: a phrase, or anything but what is said."""
GOALS: dict[Task, tuple[GoalName, ...]] = {
    "classification": ("untargeted", "targeted", "random-target"),
    "verification": VERIFICATION_GOALS,
    "transcription": TRANSCRIPTION_GOALS,
}
Combine = Literal["mean", "worst", "weighted"]
"""How several photos of a person make one loss: their mean, the one that is farthest from the goal, or all, those more."""
FAR = 0.01
"""False accept rate at which thresholds are set where nobody says otherwise."""
Awareness = Literal["none", "channel", "defense", "all"]
"""What the attacker knows of, and averages over, while crafting: what lies before the victim, the channel, the defense, or both."""
DRAWS = 20
"""Fresh looks through a channel, or at a defense that draws at random, by which an example is judged, and over which a look of an
attack on such a defense averages, where nobody says otherwise."""
Perceptual = Literal["lpips", "stoi", "pesq"]
"""Perceptual distances that cost more than a look at the pixels or samples, and are measured where a grid asks for them."""
OF_SOUND: tuple[Perceptual, ...] = ("stoi", "pesq")
"""Those of speech; the others are of pictures."""
Precision = Literal["float32", "mixed"]
"""In what an attack's gradients are computed; every verdict is of float32."""
AttackerAccess = Literal["gradient", "score", "decision", "transfer", "none"]
"""What the attacker may ask of the victim. `transfer`: nothing; examples are crafted on a source model instead."""


@dataclass(frozen=True)
class Budget:
    """The most an attack may spend on one sample. None: no limit."""

    queries: int | None = None
    """Forward passes, counting every draw of an expectation."""
    gradients: int | None = None
    """Backward passes."""


@dataclass(frozen=True)
class VictimSpec:
    """A victim or surrogate: a component with its parameters."""

    id: str
    component: Component
    params: Params

    @property
    def key(self) -> str:
        """Tells apart any two that differ."""
        return f"{self.id} {self.component.name} {self.params.model_dump_json()}"


@dataclass(frozen=True)
class DataSpec:
    """A dataset, how much of it, and how it is cut."""

    component: Component
    params: Params
    limit: int | None = None
    shard: int | None = None
    """Samples of a unit of work; None: as many as suit their size."""
    stored: bool = False
    """Whether clean inputs are rounded to what an 8-bit file can hold."""
    fit: int = 0
    """Samples that are set apart for fitting, and are not attacked; at least, where samples belong together."""
    train: int = 0
    """Photos of people that are set apart for victims that are trained on them, likewise."""

    @property
    def key(self) -> str:
        """Tells apart any two that differ."""
        cut = f"{self.limit} {self.shard} {self.fit} {self.train} {self.stored}"
        return f"{self.component.name} {self.params.model_dump_json()} {cut}"


@dataclass(frozen=True)
class DefenseSpec:
    """A defense with its parameters."""

    component: Component
    params: Params

    @property
    def is_none(self) -> bool:
        """Whether there is no defense."""
        return self.component.name == "none"


@dataclass(frozen=True)
class ChannelSpec:
    """A channel with its parameters."""

    component: Component
    params: Params


@dataclass(frozen=True)
class Judging:
    """How often an example is shown to the model, and how many of these draws must be fooled for the sample to be broken."""

    draws: int = 1
    broken_at: int = 1
    stored: bool = False
    """Whether the copy that an 8-bit file can hold is what is shown, and not the example as crafted."""
    far: float | None = None
    """False accept rate that sets the threshold of a verification; None: nothing is verified."""


ONCE = Judging()
"""One draw, for victims that always answer alike."""


@dataclass(frozen=True)
class JudgeSpec:
    """What a grid says of judging; None: not said."""

    draws: int | None = None
    broken_at: int | None = None
    layers: bool = False
    """Whether the distance to the original is measured at every layer."""
    stored: bool = False
    """Whether the copy that an 8-bit file can hold is judged."""
    far: float | None = None
    """False accept rate that sets the threshold of a verification."""
    detector: bool = False
    """Whether a detector looks for the face in each example."""

    def of(self, attack: "AttackSpec", *, random: bool = False) -> Judging:
        """Return how an attack's examples are judged: by 20 draws through a channel or of a random defense, and else by one; more
        than half decide."""
        draws = self.draws or (DRAWS if attack.channel or random else 1)
        said = self.broken_at if self.draws or attack.channel or random else None
        far = (self.far or FAR) if attack.verifies else None
        return Judging(draws, said or draws // 2 + 1, self.stored, far)


@dataclass(frozen=True)
class StageOf:
    """Which stage of which suite an attack is."""

    suite: str
    """Name of the suite, with the parameters that differ from their defaults."""
    number: int
    """From 1."""
    stages: int
    """How many the suite has."""
    when: str = ""
    """Name of the evidence that calls for the stage, see evidence.py; empty: always."""


@dataclass(frozen=True)
class AttackSpec:
    """An attack with its parameters and all that the job may say around any attack."""

    component: Component
    params: Params
    norm: str
    """Empty for an attack that keeps to no ball."""
    eps: float
    """Radius of the ball in input units (pixels in [0, 1]); infinite where there is no ball."""
    goal: GoalName = "untargeted"
    target: int | None = None
    """The class that `goal: targeted` asks for."""
    access: AttackerAccess = "gradient"
    source: VictimSpec | None = None
    """The surrogate, under `access: transfer`."""
    budget: Budget = Budget()
    eot: int | None = None
    """Draws of the randomness of victim, defense and channel that each look averages over; None: as many as the victim asks for."""
    channel: ChannelSpec | None = None
    """What lies between the example and the victim, when it is judged."""
    awareness: Awareness = "all"
    """What of channel and defense is there while crafting, too."""
    elsewhere: bool = False
    """Whether the examples are crafted on the bare victim to be judged behind defenses, too, that the attacker does not know of."""
    random: bool = False
    """Whether the attacker knows of a defense that draws at random."""
    alarmed: bool = False
    """Whether the attacker knows of a defense that raises alarms, so that a wrong answer is not all he wants."""
    filed: bool = False
    """Whether the copy that an 8-bit file can hold is judged, which a first success as floats may not survive."""
    phrase: str | None = None
    """What `goal: transcribe` wants to be heard."""
    photos: int = 1
    """Where faces are verified: photos of the person that the attacker has."""
    combine: Combine = "mean"
    """How these make one loss."""
    surrogate_dropout: float = 0.0
    """Under transfer: share of the values behind each convolution of the surrogate that is set to 0 at each look."""
    precision: Precision = "float32"
    """In what its gradients are computed."""
    ladder: bool = True
    """Whether a success at a smaller eps of the same grid counts, and is not looked for again."""
    stage: StageOf | None = None
    """Set on the stages of a suite."""

    @property
    def serves_every_eps(self) -> bool:
        """Whether the examples are crafted once for every eps: the closest that there are, wherever that is. Not where other photos
        judge: those take an example for the person that goes as far as eps allows."""
        return self.component.minimal_norm and self.stage is None and not self.verifies

    @property
    def starts_from_photos(self) -> bool:
        """Whether it walks from a photo of the target person towards the attacker's own, and asks on the way who is seen."""
        return self.goal == "impersonate" and self.component.minimal_norm and self.component.access == "decision"

    @property
    def to_the_end(self) -> bool:
        """Whether no single look decides that an example is done: what is to work elsewhere, through a channel, or undetected."""
        judged_otherwise = self.elsewhere or self.random or self.alarmed or self.filed
        return self.access == "transfer" or self.channel is not None or self.verifies or judged_otherwise

    @property
    def verifies(self) -> bool:
        """Whether the goal is about faces that are compared; photos that the attacker has not seen judge it then."""
        return self.goal in VERIFICATION_GOALS

    @property
    def transcribes(self) -> bool:
        """Whether the goal is about what is heard."""
        return self.goal in TRANSCRIPTION_GOALS

    @property
    def looks(self) -> int:
        """Draws that each look averages over."""
        return self.eot or 1

    @property
    def averages(self) -> str:
        """What the attacker averaged over, as tables show it: what he knows of, and what noise the attack imagines by itself."""
        known = "" if self.awareness == "none" else self.awareness
        return "+".join(part for part in (known, self.params.averages_over()) if part) or "none"

    @property
    def through(self) -> ChannelSpec | None:
        """The channel, where the attacker looks through it. One who rehearses in rooms of his own does not."""
        aware = self.awareness in ("channel", "all") and not self.params.rehearses()
        return self.channel if aware else None

    def facing(self, defense: DefenseSpec, *, filed: bool = False) -> "AttackSpec":
        """Return the attack as it is on a victim behind this defense: what the attacker knows of, and how often it looks; `filed`:
        to be judged as a file."""
        knows = "none" if self.component.access == "none" else self.awareness
        transfer = self.access == "transfer"  # crafted on the bare source
        channel = self.channel is not None and knows in ("channel", "all")
        defended = not (defense.is_none or transfer) and knows in ("defense", "all")
        random = defended and defense.params.draws_at_random()
        known: Awareness = (
            "all" if channel and defended else "channel" if channel else "defense" if defended else "none"
        )
        # Who is said to know of nothing makes the same examples for the bare victim as for a defended one: they can be compared.
        unaware = self.awareness == "none" and self.channel is None and not self.component.suite
        elsewhere = not (transfer or defended) and (unaware or not defense.is_none)
        alarmed = defended and defense.params.detects()
        eot = self.eot or (DRAWS if random else 1)
        known_of = replace(self, awareness=known, elsewhere=elsewhere, random=random, alarmed=alarmed)
        return replace(known_of, eot=eot, filed=filed)

    @property
    def radius(self) -> float | None:
        """Radius of the ball, as tables show it; None where there is no ball."""
        return self.eps if self.norm else None

    @property
    def source_label(self) -> str | None:
        """Name the surrogate as tables show it; None where there is none."""
        if self.source is None or not self.surrogate_dropout:
            return self.source.id if self.source else None
        return f"{self.source.id}(dropout={self.surrogate_dropout:g})"

    @property
    def as_crafted(self) -> "AttackSpec":
        """The attack as its examples are crafted: one that looks for the closest example knows no eps."""
        return replace(self, eps=math.inf) if self.serves_every_eps else self


@dataclass(frozen=True)
class GridSpec:
    """One grid of the job: everything crossed with everything, less what `exclude` drops."""

    name: str
    data: tuple[DataSpec, ...]
    victims: tuple[VictimSpec, ...]
    defenses: tuple[DefenseSpec, ...]
    attacks: tuple[AttackSpec, ...]
    exclude: tuple[dict[str, Any], ...] = ()
    """Each a mapping from `victim`, `defense`, `attack`, `norm`, `eps`, `goal`, `access`, `source`, `channel`, `awareness` or a
    parameter of the attack to a value; a combination that matches all of one mapping is dropped."""
    judge: JudgeSpec = JudgeSpec()
    perceptual: tuple[Perceptual, ...] = ()
    """What is measured of every example besides; its columns are null where nobody asks."""
    costs: Costs | None = None
    """What errors cost, see costs.py; None: each the same."""


@dataclass(frozen=True)
class Job:
    """A whole job."""

    name: str
    seeds: tuple[int, ...]
    results: str
    grids: tuple[GridSpec, ...]
    file: str = ""
    resolved: dict[str, Any] = field(default_factory=dict)
    """The job as validated, overrides applied, as plain JSON values: frozen into the run's manifest."""
    places: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    """`grids.imagenet.data` and the like -> where it stands: `jobs/quickstart.yaml:7:5:`, or the option that said it."""

    def placed(self, error: UsageError) -> UsageError:
        """Return the error with each message of a part of the job preceded by where that part stands."""
        return UsageError(*(self._placed(message) for message in error.messages))

    def _placed(self, message: str) -> str:
        path = message.partition(":")[0]
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return f"{self.places[path]} {message}" if path else message
