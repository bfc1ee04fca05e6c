"""Spectrograms of an example of sound for people: beside its clean clip, what was added, and what of that ears may hear."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from raygrid.metrics.masking import FRAME, HOP, masking, spectra

BINS = 5
"""Frequencies of a row of pixels, which shows the strongest."""
WIDTH, HEIGHT = 900, (FRAME // 2 + 1) // BINS
"""Pixels of a panel."""
LEFT, TOP, GAP, RIGHT, BOTTOM = 64, 8, 34, 70, 44
"""Pixels around the panels; the gap holds a title."""
RANGE = 80.0
"""dB that a panel shows below the loudest value of the clean clip."""
ABOVE = 30.0
"""dB above the masking threshold that the last panel shows."""
COLORS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], dtype=np.float64)
"""Viridis (van der Walt & Smith 2015) at five places, the weakest first."""
INK = (30, 30, 30)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Panel(NamedTuple):
    """One spectrogram."""

    title: str
    values: np.ndarray
    """[frames, frequencies] in [0, 1]."""
    ends: tuple[str, str]
    """What 0 and 1 mean."""


def spectrograms(clean: np.ndarray, example: np.ndarray, rate: int) -> Image.Image:
    """Draw a clip [T], its example [T], their difference, and where that lies above the masking threshold of the clip.

    Args:
        clean: values in [-1, 1], as the files hold them.
        example: likewise.
        rate: samples a second.
    """
    x, z = (torch.from_numpy(wave.astype(np.float64))[None] for wave in (clean, example))
    panels = list(_panels(x, z, rate))
    picture = Image.new("RGB", (LEFT + WIDTH + RIGHT, TOP + len(panels) * (GAP + HEIGHT) + BOTTOM), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for number, panel in enumerate(panels):
        top = TOP + number * (GAP + HEIGHT) + GAP
        picture.paste(_colored(panel.values), (LEFT, top))
        pen.text((LEFT, top - 8), panel.title, INK, font, anchor="ls")
        pen.rectangle((LEFT - 1, top - 1, LEFT + WIDTH, top + HEIGHT), outline=INK)
        for khz in range(0, rate // 2000 + 1, 2):
            y = top + HEIGHT - round(HEIGHT * khz * 2000 / rate)
            pen.line((LEFT - 5, y, LEFT - 1, y), INK)
            pen.text((LEFT - 8, y), f"{khz} kHz", INK, font, anchor="rm")
        _key(picture, pen, font, top, panel.ends)
    bottom, seconds = TOP + len(panels) * (GAP + HEIGHT), len(clean) / rate
    for second in _ticks(seconds):
        at = LEFT + round(WIDTH * second / seconds)
        pen.line((at, bottom, at, bottom + 4), INK)
        pen.text((at, bottom + 7), f"{second:g} s", INK, font, anchor="mt")
    return picture


def _panels(clean: Tensor, example: Tensor, rate: int) -> Iterator[Panel]:
    loudest = float(spectra(clean).max())
    for title, wave in (("clean", clean), ("example", example), ("difference", example - clean)):
        level = 10 * torch.log10((spectra(wave)[0] / max(loudest, 1e-30)).clamp_min(1e-30))
        yield Panel(title, _inside(1 + level / RANGE, clean), (f"-{RANGE:g} dB", "0 dB"))
    above = masking(clean, rate).above(example - clean)[0]
    share = float((above > 0).double().mean())
    told = f"{above.mean():.2f} dB in the mean, at {100 * share:.1f} % of times and frequencies"
    title = f"difference above the masking threshold of the clean clip: {told}"
    yield Panel(title, _inside(above / ABOVE, clean), ("0 dB", f"{ABOVE:g} dB"))


def _inside(values: Tensor, clip: Tensor) -> np.ndarray:
    """Return the frames [frames, frequencies] whose middle lies in the clip, cut to [0, 1]."""
    middle = torch.arange(len(values)) * HOP - (FRAME - HOP) + FRAME // 2
    shown: np.ndarray = values[(middle >= 0) & (middle < clip.shape[1])].clamp(0, 1).numpy()
    return shown


def _colored(values: np.ndarray) -> Image.Image:
    """Return values [frames, frequencies] as a panel: time from left to right, frequency upwards."""
    strongest = values[:, : HEIGHT * BINS].reshape(len(values), HEIGHT, BINS).max(2)
    return Image.fromarray(_color(strongest.T[::-1])).resize((WIDTH, HEIGHT), Image.Resampling.BOX)


def _color(values: np.ndarray) -> np.ndarray:
    places = np.linspace(0, 1, len(COLORS))
    return np.stack([np.interp(values, places, COLORS[:, c]) for c in range(3)], axis=-1).round().astype(np.uint8)


def _key(picture: Image.Image, pen: ImageDraw.ImageDraw, font: Font, top: int, ends: tuple[str, str]) -> None:
    """Draw the scale of colors beside a panel."""
    left, high = LEFT + WIDTH + 10, HEIGHT - 40
    scale = _color(np.repeat(np.linspace(1, 0, high)[:, None], 12, axis=1))
    picture.paste(Image.fromarray(scale), (left, top + 20))
    for text, y in zip(ends, (top + 20 + high + 4, top + 4), strict=True):
        pen.text((left, y), text, INK, font, anchor="lt")


def _ticks(seconds: float) -> list[float]:
    """Return times at which an axis of so many seconds is labeled, some five of them."""
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 600) if seconds / step <= 8)
    return [number * step for number in range(int(seconds / step) + 1)]
