"""The built-in data that is heard: `pocketsphinx-speech`, `moonshine-speech` and `music-carriers`."""

import re
from dataclasses import replace
from pathlib import PurePosixPath

from raygrid.assets import fetch, fetch_all
from raygrid.component import Component
from raygrid.data.audio import Recording, read_recording, to_table
from raygrid.data.catalog_audio import MOONSHINE_SPEECH, MUSIC_CARRIERS, POCKETSPHINX_SPEECH, AudioParams, CarrierParams
from raygrid.data.dataset import Dataset
from raygrid.data.pins_audio import MOONSHINE, MUSIC, SPEECH, TRANSCRIPTS
from raygrid.errors import UsageError

LINE = re.compile(r"<s>\s*(?P<text>.*?)\s*</s>\s*\((?P<stem>.*)\)")
"""A line of the transcripts."""


def pocketsphinx_speech(params: AudioParams, limit: int | None) -> Dataset:
    """Return the first `limit` of 10 utterances, the sentences first. Those of one speaker are one cluster."""
    said = {
        match["stem"]: match["text"]
        for file in fetch_all(TRANSCRIPTS)
        for match in map(LINE.match, file.read_text(encoding="utf-8").splitlines())
        if match
    }
    recordings = []
    for asset in SPEECH[:limit]:
        path = PurePosixPath(asset.path)
        folder, name = path.parent.name, f"{path.parent.name}/{path.stem}"
        recordings.append(
            read_recording(
                fetch(asset), asset.name, rate=params.rate, id=name, cluster=folder, transcript=said[path.stem]
            )
        )
    return _dataset(POCKETSPHINX_SPEECH, recordings, params)


def music_carriers(params: CarrierParams, limit: int | None) -> Dataset:
    """Return the first `limit` of 12 pieces."""
    return _dataset(
        MUSIC_CARRIERS,
        [
            read_recording(fetch(asset), asset.name, rate=params.rate, mix=True, id=PurePosixPath(asset.path).stem)
            for asset in MUSIC[:limit]
        ],
        params,
    )


def moonshine_speech(params: CarrierParams, limit: int | None) -> Dataset:
    """Return the first `limit` clips of the two recordings, which are cut without gaps; what is left over at an end is dropped.

    Raises:
        UsageError: a clip is to be longer than the recordings.
    """
    clips = list[Recording]()
    length = round(params.seconds * params.rate)
    for asset in MOONSHINE:
        name = PurePosixPath(asset.path).stem
        whole = read_recording(fetch(asset), asset.name, rate=params.rate, id=name)
        if len(whole.x) < length:
            raise UsageError(f"seconds: {name} is {len(whole.x) / params.rate:.1f} s long; ask for shorter clips")
        clips += [
            replace(whole, id=f"{name}/{place:02d}", x=whole.x[place * length : (place + 1) * length], cluster=name)
            for place in range(len(whole.x) // length)
        ]
    return _dataset(MOONSHINE_SPEECH, clips[:limit], params)


def _dataset(component: Component, recordings: list[Recording], params: AudioParams) -> Dataset:
    return Dataset(
        name=component.name,
        table=to_table(recordings, params),
        classes=1,
        license=component.license,
        source=component.source,
        notes=f"{params.rate} samples a second",
        extra={"sample_rate": params.rate},
    )
