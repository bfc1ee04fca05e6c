"""Attacks on what is heard. Declarations only: imports neither torch nor ray."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from raygrid.component import Component, Params

NYQUIST = 8000.0
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


class CarliniWagnerAudio(Params):
    """Parameters of the quietest digital attack there is, by its largest value."""

    steps: Annotated[int, Field(ge=1)] = 500
    """Steps of Adam; as many looks at the victim."""
    lr: Annotated[float, Field(gt=0)] = 0.1
    """Adam's step size, as a share of the largest value that the perturbation may have."""
    peak_db: Annotated[float, Field(ge=-90, le=0)] = -10.0
    """That value at first, in dB above the clip's own largest one."""
    shrink: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """What it is multiplied by after each success."""

    def passes(self) -> tuple[int, int]:
        """A pass a step."""
        return self.steps, self.steps


class Imperceptible(CarliniWagnerAudio):
    """Parameters of an attack that ends under what the clip itself hides from human ears, as far as it can."""

    steps: Annotated[int, Field(ge=1)] = 200
    """Steps of the first stage, which looks for any success, as quiet as may be."""
    masked_steps: Annotated[int, Field(ge=1)] = 400
    """Steps of the second, which makes it less audible."""
    masked_lr: Annotated[float, Field(gt=0)] = 0.2
    """Adam's step size there, as a share of the largest value of the first stage's perturbation; it falls to 0 along a line."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Of a mean dB above the masking threshold beside the recognizer's loss, at first: it grows while the attack succeeds, and
    falls while it does not."""

    def passes(self) -> tuple[int, int]:
        """A pass a step of both."""
        return self.steps + self.masked_steps, self.steps + self.masked_steps


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="attack",
        task="transcription",
        name="carlini-wagner-audio",
        summary="The digital command of the smallest peak: a limit that shrinks with each success.",
        build="raygrid.attacks.quiet_command:carlini_wagner_audio",
        params=CarliniWagnerAudio,
        source="Carlini & Wagner, Deep Learning and Security Workshop 2018",
        goals=("untargeted",),
    ),
    Component(
        kind="attack",
        task="transcription",
        name="imperceptible",
        summary="A digital command under the masking threshold of its clip, as far as it can be.",
        build="raygrid.attacks.quiet_command:imperceptible",
        params=Imperceptible,
        source="Qin et al., ICML 2019; ISO/IEC 11172-3, 1993",
        goals=("untargeted",),
    ),
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
)
