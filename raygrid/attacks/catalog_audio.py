"""Attacks on what is heard. Declarations only: imports neither torch nor ray."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from raygrid.component import ALL_GOALS, Component, Params

NYQUIST = 8000.0
Bank = Literal["birds", "everyday", "both"]
Hertz = Annotated[float, Field(ge=0, le=NYQUIST)]


class OverTheAir(Params):
    """Parameters of an attack that survives loudspeaker, room and noise. Without band, rooms and noise it is a digital one."""

    band: tuple[Hertz, Hertz] | None = (1000.0, 4000.0)
    """Hz between which the perturbation lies, what a loudspeaker plays and a microphone hears well; null: anywhere."""
    rooms: Annotated[int, Field(ge=0, le=10_000)] = 240
    """Training rooms that it rehearses in; 0: none, what is played is what is heard."""
    noise: bool = True
    """Whether it rehearses in noise, of another color and level each play."""
    noise_db: Annotated[float, Field(ge=-20, le=120)] = 13.0
    """Power of what is heard over that of the loudest noise, in dB."""
    grown: bool = False
    """Whether noise begins with none and grows with each step in which most plays succeed, as in the paper. Else it is there in
    full from the first step on: recognizers may be harder to convince without any."""
    plays: Annotated[int, Field(ge=1, le=1000)] = 8
    """Rooms and noises in a step."""
    sampling: Literal["loss", "uniform"] = "loss"
    """How a step's rooms are drawn: in proportion to the loss last seen in each, once all were seen; or all alike."""
    validation: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Validation rooms, in which the best of its points is chosen."""
    every: Annotated[int, Field(ge=1)] = 25
    """Steps between two validations; the last step is followed by one in any case."""
    snr_db: Annotated[float, Field(ge=-60, le=120)] | None = 9.0
    """Power of the carrier over that of the perturbation, in dB, at least; null: no limit, only `decay` keeps it small."""
    steps: Annotated[int, Field(ge=1)] = 300
    """Steps of Adam."""
    lr: Annotated[float, Field(gt=0)] = 0.15
    """Adam's step size, as a share of the carrier's root mean square; it falls to 0 along half a cosine."""
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the perturbation that each step takes away; 0.001 in the paper's code, which knows no limit."""

    @model_validator(mode="after")
    def _band(self) -> Self:
        if self.band and self.band[0] >= self.band[1]:
            raise ValueError(f"band: the lower end first: [{self.band[1]:g}, {self.band[0]:g}]")
        return self

    def rehearses(self) -> bool:
        """It plays in rooms of its own."""
        return True

    def passes(self) -> tuple[int, int]:
        """A pass a play."""
        if not (self.rooms or self.noise):  # all plays are the same
            return self.steps + 1, self.steps
        gradients = self.steps * self.plays
        return gradients + math.ceil(self.steps / self.every) * self.validation, gradients


class NaturalSounds(Params):
    """Parameters of natural-sounding additions."""

    bank: Bank = "both"
    """Recordings that are added: of eight birds (a package of 161 MB), of eight things about the house, or of both."""
    sounds: Annotated[int, Field(ge=1, le=20)] = 3
    """How many are added to a clip at once."""
    pitch: Annotated[float, Field(ge=0, le=12)] = 4.0
    """Semitones by which each may be higher (and faster) or lower (and slower)."""
    snr_db: Annotated[float, Field(ge=-60, le=120)] = 10.0
    """Power of the clip over that of all that is added, in dB, at least."""
    queries: Annotated[int, Field(ge=3)] = 600
    """Looks at the victim for each clip: two a step, and one at the end."""
    explore: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the steps that try any sounds at any time; the others refine the best ones' time, pitch and loudness."""
    search: Literal["random", "pgpe"] = "random"
    """How they are refined: `random` walks to what is better; `pgpe` follows estimated gradients of a distribution."""

    def passes(self) -> tuple[int, int]:
        """Two looks a step, and a last one."""
        return 2 * ((self.queries - 1) // 2) + 1, 0


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        task="transcription",
        name="over-the-air",
        summary="A command hidden in a carrier, which a recognizer hears in rooms it was not crafted in.",
        build="raygrid.attacks.over_the_air:over_the_air",
        params=OverTheAir,
        source="Yakura & Sakuma, IJCAI 2019",
        goals=("untargeted",),
    ),
    Component(
        kind="attack",
        heard=True,
        name="natural-sounds",
        summary="Bird calls and everyday noises beside what is heard: which, when, how high and how loud, chosen by scores alone.",
        build="raygrid.attacks.natural_sounds:natural_sounds",
        params=NaturalSounds,
        source="after Yakura, Akimoto & Sakuma, AAAI 2020; recordings instead of a GAN",
        license="recordings: tuxpaint-stamps-default GPL-2, sonic-pi-samples CC0-1.0",
        access="score",
        goals=ALL_GOALS,
    ),
)
