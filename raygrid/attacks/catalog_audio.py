"""Attacks on what is heard. Declarations only: imports neither torch nor ray."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from raygrid.channels.catalog_audio import Responses, digests, measured
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
    responses: Responses | None = Field(default=None, exclude_if=lambda path: path is None)
    """Impulse responses that the attacker measured, a folder or file as the channel `room` takes them: he rehearses in those of
    `train`, `rooms` at most, and chooses in those of `validation`. Default: simulated rooms."""
    resample_responses: bool = Field(default=False, exclude_if=lambda said: not said)
    """Whether responses at other rates than 16 kHz are brought to it; else they are refused."""
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
    starts: Annotated[int, Field(ge=1, le=100)] = 1
    """Searches, each from nothing and through other rooms and noises: the best point of all, in validation rooms, is taken. Two
    searches for the same phrase and carrier may end far apart."""
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

    def keyed(self) -> Any:
        """Measured responses by what they hold."""
        values = self.model_dump(mode="json", exclude={"responses", "resample_responses"})
        if self.responses is None:
            return values
        return {**values, "responses": measured(self.responses, resample=self.resample_responses).digest}

    def measured_rooms(self) -> Mapping[str, frozenset[str]]:
        """Those of the folder."""
        return digests(self.responses, resample=self.resample_responses)

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.responses is not None and not self.rooms:
            raise ValueError("responses: it rehearses in none of them with rooms: 0")
        if self.resample_responses and self.responses is None:
            raise ValueError("resample_responses: there are no responses; simulated ones are at 16 kHz")
        return self

    def rehearses(self) -> bool:
        """It plays in rooms of its own."""
        return True

    def passes(self) -> tuple[int, int]:
        """A pass a play."""
        if not (self.rooms or self.noise):  # all plays are the same
            return self.steps + 1, self.steps
        gradients = self.starts * self.steps * self.plays
        return gradients + self.starts * math.ceil(self.steps / self.every) * self.validation, gradients


Words = Literal["five five", "seven of clubs", "ten of clubs", "hello", "hello world"]
SAID: dict[Words, str] = {
    "five five": "pocketsphinx-testdata/cards/004.wav",
    "seven of clubs": "pocketsphinx-testdata/cards/003.wav",
    "ten of clubs": "pocketsphinx-testdata/cards/001.wav",
    "hello": "asterisk-core-sounds-en-wav/hello.wav",
    "hello world": "asterisk-core-sounds-en-wav/hello-world.wav",
}
"""What people say in pinned recordings -> the recording."""


class Spoken(Params):
    """Parameters of words that are said aloud. It takes no look at the victim."""

    words: Words
    """What is said, and whose recording is mixed into the middle of the carrier. Give the same as `phrase`, to ask whether it is
    heard."""
    snr_db: Annotated[float, Field(ge=-60, le=120)] = 9.0
    """Power of the carrier over that of the recording, both over the whole clip, in dB. What leaves [-1, 1] is cut off."""


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
        summary="A command hidden in a carrier, heard in rooms it was not crafted in; or speech garbled within an SNR.",
        build="raygrid.attacks.over_the_air:over_the_air",
        params=OverTheAir,
        version=2,
        source="Yakura & Sakuma, IJCAI 2019",
        goals=("untargeted",),
    ),
    Component(
        kind="attack",
        task="transcription",
        name="spoken",
        summary="The words themselves, spoken into the carrier: what anyone can do without any attack, at the same loudness.",
        build="raygrid.attacks.spoken:spoken",
        params=Spoken,
        access="none",
        goals=("untargeted",),
        license="recordings: pocketsphinx-testdata BSD-2-Clause, asterisk-core-sounds-en-wav CC-BY-SA-3.0",
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
