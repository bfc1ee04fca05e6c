"""Data that is heard: parameters and entries. Declarations only: imports neither torch, ray nor pyarrow."""

from typing import Annotated, Literal

from pydantic import Field

from raygrid.component import Component, Params

Seconds = Annotated[float, Field(ge=0.1, le=60)]


class AudioParams(Params):
    """How recordings are brought to one rate and one length."""

    rate: Annotated[int, Field(ge=4000, le=192_000)] = 16_000
    """Samples a second that the victims take. Other recordings are resampled (polyphase filter); the table keeps their rate."""
    seconds: Seconds | None = None
    """Length of every clip: longer recordings are cut, shorter ones filled up with zeros; the column `samples` says what is not
    filling. Default: that of the longest."""


class CarrierParams(AudioParams):
    """The same, of recordings that carry a command."""

    seconds: Seconds = 3.0
    """Length of every clip; longer recordings are cut."""


class AudioFolderParams(AudioParams):
    """Audio files that a person brings."""

    path: str
    """The folder that holds the files (wav, flac, ogg, mp3), also in sub-folders."""
    transcripts: str | None = None
    """A CSV table of what is said, with a header: `file` (path below the folder), `transcript` and, where recordings are not
    independent, `cluster`. Only its files are read then."""
    mix: bool = False
    """Mix stereo down to one channel, their mean. Else stereo is refused."""


class SoundParams(AudioParams):
    """Sounds that have names."""

    seconds: Seconds = 2.0
    """Length of every clip: longer recordings are cut."""
    short: Literal["repeat", "fill"] = "repeat"
    """Recordings that are shorter are repeated, or filled up with zeros."""
    classes: Literal["families", "all"] = "families"
    """What labels count: the classes of `yamnet` as its parameter of the same name has them."""


class SoundFolderParams(SoundParams):
    """Sounds that a person brings."""

    path: str
    """The folder that holds a sub-folder of files (wav, flac, ogg, mp3) for each class, called as AudioSet calls it: "Dog",
    "Glass", "Violin, fiddle"."""
    mix: bool = False
    """Mix stereo down to one channel, their mean. Else stereo is refused."""


class VoiceParams(AudioParams):
    """Recordings of people, and which part each plays besides attacking: a person needs `known + judged + 1`."""

    seconds: Seconds = 3.0
    """Length of every clip: longer recordings are cut, shorter ones repeated."""
    known: Annotated[int, Field(ge=1)] = 3
    """Recordings of each person that an attacker may have; how many of them he uses is the attack's `photos`."""
    judged: Annotated[int, Field(ge=1)] = 4
    """Other recordings of each person, by which examples are judged: each is a draw."""


class SpeakerFolderParams(VoiceParams):
    """Recordings of people that a person brings."""

    path: str
    """The folder that holds a sub-folder of files (wav, flac, ogg, mp3) for each person."""
    mix: bool = False
    """Mix stereo down to one channel, their mean. Else stereo is refused."""


POCKETSPHINX_SPEECH = Component(
    kind="data",
    name="pocketsphinx-speech",
    summary="10 utterances with transcripts, 1-7 s: five sentences of a novel, five of a card game.",
    params=AudioParams,
    build="raygrid.data.speech:pocketsphinx_speech",
    task="transcription",
    source="pocketsphinx-testdata 0.8+5prealpha+1-15 (Debian), read as data; LibriVox and CMU",
    license="BSD-2-Clause (package)",
)
MOONSHINE_SPEECH = Component(
    kind="data",
    name="moonshine-speech",
    summary="Two read recordings without transcripts, cut into clips of 3 s.",
    params=CarrierParams,
    build="raygrid.data.speech:moonshine_speech",
    task="transcription",
    source="moonshine-voice 0.0.4 (PyPI wheel), read as data",
    license="MIT (package)",
)
MUSIC_CARRIERS = Component(
    kind="data",
    name="music-carriers",
    summary="The first 3 s of 12 pieces of music, stereo mixed down: what a hidden command is played in.",
    params=CarrierParams,
    build="raygrid.data.speech:music_carriers",
    task="transcription",
    source="sonic-pi-samples 3.2.2~repack-8 (Debian), read as data",
    license="CC0-1.0",
)
AUDIO_FOLDER = Component(
    kind="data",
    name="audio-folder",
    summary="Your own audio files, with a table of transcripts if you have one.",
    params=AudioFolderParams,
    build="raygrid.data.audio_folder:audio_folder",
    task="transcription",
    shorthand="path",
)

NAMED_SOUNDS = Component(
    kind="data",
    name="named-sounds",
    summary="79 recordings of animals, instruments and things about the house, 2 s, labeled by their names.",
    params=SoundParams,
    build="raygrid.data.sounds:named_sounds",
    heard=True,
    source=(
        "tuxpaint-stamps-default 2022.06.04-1 (161 MB), sound-theme-freedesktop 0.8-2, sonic-pi-samples 3.2.2~repack-8 (Debian), "
        "read as data; classes of AudioSet (Gemmeke et al. 2017)"
    ),
    license="GPL-2, GPL-2+ and CC-BY-SA-3.0, CC0-1.0, as each package states it; fetched, never shipped",
)
SOUND_FOLDER = Component(
    kind="data",
    name="sound-folder",
    summary="Your own sounds, one sub-folder a class.",
    params=SoundFolderParams,
    build="raygrid.data.sounds:sound_folder",
    heard=True,
    shorthand="path",
)
PACKAGED_VOICES = Component(
    kind="data",
    name="packaged-voices",
    summary="8 clips of 3 s of each of 13 people: words and telephone prompts in eleven languages.",
    params=VoiceParams,
    build="raygrid.data.voices:packaged_voices",
    task="verification",
    heard=True,
    source=(
        "ktuberling-data 22.12.3 and asterisk-core-sounds-{en,fr,it,ru}-wav 1.6.1 (Debian, 120 MB in all), moonshine-voice 0.0.4 "
        "(PyPI wheel), read as data"
    ),
    license="GPL-2+, CC-BY-SA-3.0, CC-BY-3.0 and MIT, as each package states it; fetched, never shipped",
)
SPEAKER_FOLDER = Component(
    kind="data",
    name="speaker-folder",
    summary="Your own recordings of voices, one sub-folder a person.",
    params=SpeakerFolderParams,
    build="raygrid.data.voices:speaker_folder",
    task="verification",
    heard=True,
    shorthand="path",
)

COMPONENTS: tuple[Component, ...] = (
    POCKETSPHINX_SPEECH,
    MOONSHINE_SPEECH,
    MUSIC_CARRIERS,
    NAMED_SOUNDS,
    PACKAGED_VOICES,
    AUDIO_FOLDER,
    SOUND_FOLDER,
    SPEAKER_FOLDER,
)
