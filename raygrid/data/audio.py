"""Recordings to waveforms of one rate and one length. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile
from scipy.signal import resample_poly

from raygrid.data.catalog_audio import AudioParams
from raygrid.data.dataset import make_table
from raygrid.errors import UsageError

SILENCE = 1 / 32768
"""A recording that nowhere exceeds it, one step of 16 bits, is silent."""
LOSSY = ("VORBIS", "OPUS", "MPEG")
"""Beginnings of the subtypes whose decoders overshoot the full scale by nature."""
OVERSHOOT = 4.0
"""How far they may."""
SHORTEST = 0.1
"""Seconds of a recording below which there is nothing to hear."""


@dataclass(frozen=True)
class Recording:
    """One recording, at the rate that victims take."""

    id: str
    x: np.ndarray
    """Waveform [T] float32 in [-1, 1]."""
    source_rate: int
    """Samples a second of the file."""
    gain: float = 1.0
    """What it was multiplied with, so that decoding and resampling left no peak above 1."""
    cluster: str = ""
    transcript: str | None = None


def read_recording(
    file: Path,
    where: str,
    *,
    rate: int,
    id: str,  # noqa: A002 - the column's name
    mix: bool = False,
    cluster: str = "",
    transcript: str | None = None,
) -> Recording:
    """Read a file that soundfile knows.

    Args:
        where: what an error calls it.
        rate: samples a second to return.
        id: of the recording.
        mix: take the mean of several channels, instead of refusing them.
        cluster: what it shares with recordings that depend on it. Default: nothing.
        transcript: what is said.

    Raises:
        UsageError: no audio, stereo, silent, too short, NaN, or beyond [-1, 1].
    """
    try:
        channels, source_rate = soundfile.read(file, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise UsageError(
            f"{where}: is no audio that can be read ({error.error_string}); replace or remove it"
        ) from error
    if channels.shape[1] > 1 and not mix:
        raise UsageError(
            f"{where}: has {channels.shape[1]} channels; a victim hears one: state `mix: true` to take their mean"
        )
    x = channels.mean(1)
    lossy = soundfile.info(file).subtype.startswith(LOSSY)
    _check_values(x, source_rate, where, OVERSHOOT if lossy else 1.0)
    x = resampled(x, source_rate, rate)
    peak = float(np.abs(x).max())
    if peak <= SILENCE:
        raise UsageError(f"{where}: is silent; drop it")
    gain = min(1.0, 1 / peak)
    return Recording(id, x * np.float32(gain), source_rate, gain, cluster or id, transcript)


def _check_values(x: np.ndarray, rate: int, where: str, most: float) -> None:
    if len(x) < SHORTEST * rate:
        raise UsageError(
            f"{where}: is {1000 * len(x) / rate:.0f} ms long; at least {1000 * SHORTEST:.0f} ms are needed"
        )
    if bad := int((~np.isfinite(x)).sum()):
        raise UsageError(f"{where}: holds NaN or infinite values in {bad} places; repair or drop it")
    if (peak := float(np.abs(x).max())) > most:
        raise UsageError(f"{where}: reaches {peak:g}; waveforms stay in [-1, 1], divide by their full scale")


def resampled(x: np.ndarray, source: int, target: int) -> np.ndarray:
    """Return a waveform [T] at another rate: a polyphase filter, from `source` to `target` samples a second."""
    if source == target:
        return x
    common = gcd(source, target)
    return np.asarray(resample_poly(x, target // common, source // common), dtype=np.float32)


def repeated(recording: Recording, samples: int) -> Recording:
    """Return a recording of this length at least: a shorter one again and again, the last time cut."""
    return recording if len(recording.x) >= samples else replace(recording, x=np.resize(recording.x, samples))


def to_table(
    recordings: Sequence[Recording], params: AudioParams, labels: Sequence[int] | None = None, **metadata: Sequence[str]
) -> pa.Table:
    """Build the table of a Dataset: `x` [T] of one length, with `transcript` (null where the recording is cut), `source_rate`,
    `seconds` of the recording, `samples` that are not filling, and `gain` as metadata. Labels are 0 where there are none."""
    longest = max((len(recording.x) for recording in recordings), default=1)
    length = longest if params.seconds is None else round(params.seconds * params.rate)
    x = np.zeros((len(recordings), length), dtype=np.float32)
    for row, recording in zip(x, recordings, strict=True):
        row[: len(recording.x)] = recording.x[:length]
    return make_table(
        [recording.id for recording in recordings],
        x,
        np.zeros(len(recordings), dtype=np.int64) if labels is None else np.array(labels, dtype=np.int64),
        [recording.cluster for recording in recordings],
        # What is said after the cut is not in the clip, and nobody knows where in the text that is.
        transcript=pa.array([r.transcript if len(r.x) <= length else None for r in recordings], pa.string()),
        source_rate=[recording.source_rate for recording in recordings],
        seconds=[len(recording.x) / params.rate for recording in recordings],
        samples=[min(len(recording.x), length) for recording in recordings],
        gain=[recording.gain for recording in recordings],
        **{name: list(values) for name, values in metadata.items()},
    )
