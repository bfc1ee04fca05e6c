"""Rooms as boxes: where the loudspeaker and the microphone stand, and the impulse response between them by image sources.

The simulator is pyroomacoustics (Scheibler et al., ICASSP 2018). What is here decides what to ask it: which rooms, and how much
their walls absorb. Nothing is kept here; the bank of rooms is in `room_bank.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, exp, log, pi, radians

import numpy as np
import torch
from numpy.typing import NDArray

from raygrid.channels.catalog_audio import WALL, Room
from raygrid.channels.sound import RATE
from raygrid.randomness import Randomness

SPEED = 343.0
"""Of sound, m/s."""
LEAD = 40
"""Samples kept before the direct sound: half the length of the simulator's fractional delays."""
ONSET = 0.1
"""Share of the peak at which the direct sound begins: 20 dB below, as ISO 3382-1 has it."""
REACH = 0.75
"""Share of the reverberation time after which a simulated response ends, 45 dB down. The cost grows with its cube."""
DECAY = (-5.0, -35.0)
"""dB between which the decay is fitted: ISO 3382-1's T30."""
NOT_DIFFUSE = 1.2
"""How much longer boxes reverberate than Eyring's formula says, about: where the search for the walls' absorption starts."""
CLOSE = 0.05
"""Relative error of the reverberation time at which the walls are as they should be."""
TRIES = 4
MOST_ABSORBED = 0.99
TILT = 30.0
"""Most degrees by which the line from loudspeaker to microphone rises or falls."""
PLACES = 512
"""Pairs of places tried, of which the first that fits the room is taken."""

Response = NDArray[np.float32]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """A room with a loudspeaker and a microphone in it; meters from a corner."""

    size: Point
    rt60: float
    """Reverberation time asked for, in seconds."""
    source: Point
    microphone: Point


@dataclass(frozen=True)
class Heard:
    """What a place does to sound."""

    response: Response
    """At 16 kHz, of energy 1; the direct sound comes about LEAD samples after the start."""
    absorption: float
    """Share of the energy that every wall takes."""
    rt60: float
    """Reverberation time in seconds, measured from the response."""


def draw_place(params: Room, room: str, pair: str) -> Place:
    """Draw a place: the same for the same bank and names, whatever else is drawn.

    Args:
        params: ranges, and the number of the bank.
        room: name of the room.
        pair: name of the places of loudspeaker and microphone in it.

    Raises:
        ValueError: none of the places tried fits the room.
    """
    numbers = Randomness(params.bank, "rooms", [room, pair])
    spans = np.array([params.length, params.width, params.height, params.rt60])
    *sides, rt60 = _between(spans, _uniform(numbers, "room", 0, (4,)))
    size = np.array(sides)
    (distance,) = _between(np.array([params.distance]), _uniform(numbers, "distance", 1, (1,)))
    u = _uniform(numbers, "places", 1, (PLACES, 5))
    sources = WALL + (size - 2 * WALL) * u[:, :3]
    around, up = 2 * pi * u[:, 3], radians(TILT) * (2 * u[:, 4] - 1)
    ahead = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=1)
    microphones = sources + distance * ahead
    fits = ((microphones >= WALL) & (microphones <= size - WALL)).all(axis=1)
    if not fits.any():
        raise ValueError(
            f"room {room}: a microphone {distance:.2f} m from a loudspeaker fits nowhere in {size.round(2)} m"
        )
    first = int(fits.argmax())
    return Place(_point(size), rt60, _point(sources[first]), _point(microphones[first]))


def _uniform(numbers: Randomness, purpose: str, row: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return numbers in [0, 1) of the stream of one name."""
    u: NDArray[np.float64] = numbers.uniform(purpose, torch.tensor([row]), torch.empty(1, *shape))[0].double().numpy()
    return u


def _between(spans: NDArray[np.float64], u: NDArray[np.float64]) -> list[float]:
    values: list[float] = (spans[:, 0] + (spans[:, 1] - spans[:, 0]) * u).tolist()
    return values


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = values.tolist()
    return x, y, z


def hear(place: Place, absorption: float | None = None) -> Heard:
    """Simulate the impulse response of a place.

    Args:
        place: the room, and who stands where.
        absorption: of its walls, in (0, 1); default: so that the response has the reverberation time asked for, to CLOSE.

    Raises:
        ModuleNotFoundError: pyroomacoustics is not installed.
    """
    if absorption is not None:
        return _heard(place, absorption)
    x, y, z = place.size
    # Eyring (1930): RT60 = 24 ln 10 V / (c S a), where a = -ln(1 - absorption) is what a wall takes, in nepers of energy.
    a = NOT_DIFFUSE * 24 * log(10) * x * y * z / (SPEED * 2 * (x * y + y * z + x * z) * place.rt60)
    for _ in range(TRIES):
        heard = _heard(place, min(1 - exp(-a), MOST_ABSORBED))
        if abs(heard.rt60 / place.rt60 - 1) <= CLOSE or heard.absorption >= MOST_ABSORBED:
            break
        a *= heard.rt60 / place.rt60
    return heard


def _heard(place: Place, absorption: float) -> Heard:
    response = aligned(_image_sources(place, absorption), LEAD + ceil(REACH * place.rt60 * RATE))
    return Heard(response, absorption, reverberation_time(response))


def _image_sources(place: Place, absorption: float) -> Response:
    """Return the response of a box by all image sources that are heard before it ends (Allen & Berkley 1979)."""
    import pyroomacoustics

    way = float(np.linalg.norm(np.subtract(place.microphone, place.source))) + SPEED * REACH * place.rt60
    # The image whose order is the highest at this distance lies where every meter crosses the most walls.
    order = ceil(way * float(np.linalg.norm(1 / np.array(place.size))))
    with _one_thread(pyroomacoustics):
        box = pyroomacoustics.ShoeBox(
            place.size, fs=RATE, materials=pyroomacoustics.Material(absorption), max_order=order
        )
        box.add_source(place.source)
        box.add_microphone(place.microphone)
        box.compute_rir()
    return np.asarray(box.rir[0][0], dtype=np.float32)


@contextmanager
def _one_thread(simulator: object) -> Iterator[None]:
    """Let the simulator add up in one order, however many cores there are."""
    constants = simulator.constants  # type: ignore[attr-defined]
    before = constants.get("num_threads")
    constants.set("num_threads", 1)
    try:
        yield
    finally:
        constants.set("num_threads", before)


def aligned(response: NDArray[np.floating], most: int | None = None) -> Response:
    """Return a response [L] from LEAD samples before its direct sound on, of so many samples at most, scaled to energy 1.

    Where the direct sound begins is the first value that is 20 dB below the peak or louder.

    Raises:
        ValueError: the response is empty, silent or not finite.
    """
    energy = float(np.square(response, dtype=np.float64).sum()) if response.size else 0.0
    if not (np.isfinite(energy) and energy > 0):
        raise ValueError("an impulse response must hold something besides silence, and be finite")
    size = np.abs(response)
    start = max(0, int((size >= ONSET * size.max()).argmax()) - LEAD)
    kept = response[start:][:most].astype(np.float64)
    scaled: Response = (kept / np.sqrt(np.square(kept).sum())).astype(np.float32)
    return scaled


def reverberation_time(response: NDArray[np.floating], rate: int = RATE) -> float:
    """Return the reverberation time RT60 of a response [L] in seconds: T30 of ISO 3382-1, by Schroeder's backward integration.

    0 for a response that ends before it has decayed by 35 dB, such as a unit impulse.
    """
    left = np.square(response, dtype=np.float64)[::-1].cumsum()[::-1]
    level = 10 * np.log10(np.maximum(left / left[0], 1e-30)) if left.size and left[0] > 0 else np.zeros(0)
    begin, end = (int(np.searchsorted(-level, -db)) for db in DECAY)
    if end >= level.size or end - begin < 2:
        return 0.0
    slope = float(np.polyfit(np.arange(begin, end) / rate, level[begin:end], 1)[0])
    return -60 / slope
