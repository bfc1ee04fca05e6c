"""People who are told apart by their voices: `packaged-voices`, out of packages, and `speaker-folder`, which a person brings."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from raygrid.assets import fetch_all
from raygrid.data.audio import Recording, read_recording, repeated, to_table
from raygrid.data.audio_folder import audio_files
from raygrid.data.catalog_audio import PACKAGED_VOICES, SpeakerFolderParams, VoiceParams
from raygrid.data.dataset import Dataset
from raygrid.data.folder import sub_folders
from raygrid.data.labels import interleave
from raygrid.data.paths import existing_folder
from raygrid.data.pins_voices import VOICES
from raygrid.errors import UsageError

CLIPS = 8
"""Clips of each packaged voice."""
QUIET = 0.02
"""Share of a recording's peak below which its beginning and end are silence."""
BESIDE = 0.05
"""Seconds of it that stay."""
NOTES = (
    "Each voice has a language, a microphone and a sample rate of its own, and these tell them apart, too: error rates of people "
    "who share them are higher. With half of the 13 voices to set thresholds on there are 15 pairs of people: ask for no FAR "
    "below 0.07. Four more voices were left out because `resemblyzer` found their words "
    "unlike each other, so that its FRR here is too good."
)


def packaged_voices(params: VoiceParams, limit: int | None) -> Dataset:
    """Return the first `limit` of 8 clips of each of 13 voices, one of each in turn. A clip is several words or prompts, one after
    another, without the silence around them; no two clips share any. Metadata: `person`.

    Raises:
        UsageError: a voice says too little for clips of this length.
    """
    clips = dict(zip(VOICES, map(_clips, VOICES, [params] * len(VOICES)), strict=True))
    found = [clip for turn in zip(*clips.values(), strict=True) for clip in turn][:limit]
    return _dataset(
        PACKAGED_VOICES.name, found, sorted(VOICES), params, PACKAGED_VOICES.license, PACKAGED_VOICES.source, NOTES
    )


def speaker_folder(params: SpeakerFolderParams, limit: int | None) -> Dataset:
    """Read the first `limit` files, one of each person in turn. Ids are the paths below the folder: `ann/1.wav`.

    Raises:
        UsageError: the folder is missing or holds no people, or a file of it cannot be used.
    """
    folder = existing_folder(params.path)
    if not (people := sorted(sub_folders(folder))):
        raise UsageError(f'path: "{folder}" has no sub-folders; put the recordings of each person into one of its own')
    files = [(file, person) for person in people for file in audio_files(folder / person)]
    chosen = [files[i] for i in interleave([person for _, person in files])[:limit]]
    recordings = [
        read_recording(
            file, str(file), rate=params.rate, mix=params.mix, id=file.relative_to(folder).as_posix(), cluster=person
        )
        for file, person in chosen
    ]
    return _dataset(f"speaker-folder:{folder.name}", recordings, people, params, "", str(folder), "")


def _clips(voice: str, params: VoiceParams) -> list[Recording]:
    """Cut what a voice says into clips."""
    length = round(params.seconds * params.rate)
    recordings = [
        read_recording(file, asset.name, rate=params.rate, mix=True, id=voice, cluster=voice)
        for asset, file in zip(VOICES[voice], fetch_all(VOICES[voice]), strict=True)
    ]
    said = np.concatenate([_trimmed(recording.x, params.rate) for recording in recordings])
    if len(said) < CLIPS * length:
        raise UsageError(
            f"seconds: {voice} says {len(said) / params.rate:.1f} s in all, and {CLIPS} clips of {params.seconds:g} s are asked for"
        )
    first = recordings[0]
    return [
        replace(first, id=f"{voice}/{place}", x=said[place * length : (place + 1) * length]) for place in range(CLIPS)
    ]


def _trimmed(x: np.ndarray, rate: int) -> np.ndarray:
    loud, beside = np.flatnonzero(np.abs(x) > QUIET * np.abs(x).max()), round(BESIDE * rate)
    return x[max(0, loud[0] - beside) : loud[-1] + beside]


def _dataset(
    name: str,
    recordings: Sequence[Recording],
    people: Sequence[str],
    params: VoiceParams,
    terms: str,
    source: str,
    notes: str,
) -> Dataset:
    places = {person: place for place, person in enumerate(people)}
    who = [recording.cluster for recording in recordings]
    recordings = [repeated(recording, round(params.seconds * params.rate)) for recording in recordings]
    return Dataset(
        name=name,
        table=to_table(recordings, params, [places[person] for person in who], person=who),
        classes=len(people),
        class_names=tuple(people),
        license=terms,
        source=source,
        people=(params.known, params.judged),
        notes=notes,
        extra={"sample_rate": params.rate},
    )
