"""Spectrograms: what is where in the picture, and that it says what is above the masking threshold."""

import numpy as np
import pytest
import torch

from raygrid.engine.spectrograms import COLORS, GAP, HEIGHT, LEFT, TOP, WIDTH, spectrograms
from raygrid.metrics.masking import masking

RATE = 16_000
WEAK = tuple(int(c) for c in COLORS[0])


def tone(hertz, size=0.5, begin=0.0, seconds=2.0):
    t = np.arange(int(RATE * seconds)) / RATE
    return size * np.sin(2 * np.pi * hertz * t) * (t >= begin)


def color(picture, panel, second, hertz, seconds=2.0):
    """The color of a time and a frequency in panel number `panel`."""
    x = LEFT + int(WIDTH * second / seconds)
    y = TOP + panel * (GAP + HEIGHT) + GAP + HEIGHT - 1 - int(HEIGHT * hertz / (RATE / 2))
    return picture.getpixel((x, y))


def test_a_tone_lies_at_its_frequency_and_what_is_added_where_it_begins():
    clean = tone(1000)
    picture = spectrograms(clean, clean + tone(4000, 0.1, begin=1.0), RATE)
    assert color(picture, 0, 1.5, 1000)[1] > 150 and color(picture, 0, 1.5, 4000) == WEAK
    assert color(picture, 1, 1.5, 1000)[1] > 150 and color(picture, 1, 1.5, 4000)[1] > 100
    assert color(picture, 2, 1.5, 4000)[1] > 100
    for second, hertz in ((1.5, 1000), (0.5, 4000)):
        assert color(picture, 2, second, hertz) == WEAK
    assert color(picture, 3, 1.5, 4000)[0] > 200  # far above what a tone of 1 kHz hides
    assert color(picture, 3, 0.5, 4000) == WEAK


def test_what_the_clip_hides_is_not_shown_as_above_it():
    clean, added = tone(1000), tone(1060, 0.005)
    mask = masking(torch.from_numpy(clean)[None], RATE)
    inner = mask.above(torch.from_numpy(added)[None])[0, 4:-4]
    assert inner.max() == 0
    picture = spectrograms(clean, clean + added, RATE)
    assert {color(picture, 3, second, 1060) for second in (0.5, 1.0, 1.5)} == {WEAK}


@pytest.mark.parametrize("seconds", [0.05, 0.7, 31.0])
def test_clips_of_any_length_have_axes(seconds):
    clean = tone(500, seconds=seconds)
    picture = spectrograms(clean, clean, RATE)
    assert picture.size == spectrograms(tone(500), tone(500), RATE).size
    assert color(picture, 2, seconds / 2, 500, seconds) == WEAK
