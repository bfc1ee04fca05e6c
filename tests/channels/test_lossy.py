"""Lossy codecs: the same file of the same sound, no shorter and no later, and a gradient only where somebody says which.

They have no golden outputs: these are libsndfile's, whose package's version stands in every key.
"""

import pytest
import torch
from pydantic import ValidationError
from sounds import streams, waves

from raygrid.channels.catalog_audio import Codec, Lossy
from raygrid.channels.lossy import lossy
from raygrid.component import resolve
from raygrid.metrics.signal import snr_db
from raygrid.registry import find

CODECS = ("mp3", "opus", "vorbis")
T = 16_000


def heard(params, x, purpose="judge/0"):
    return lossy(params, x, streams(len(x)), purpose, torch.arange(len(x)))


def chirp(batch=1):
    """Tones that rise from 200 Hz, each one beginning elsewhere."""
    t = torch.arange(T) / 16_000
    return torch.stack([0.3 * torch.sin(2 * torch.pi * (200 + 100 * b + 600 * t) * t) for b in range(batch)])


def test_the_entry_builds_the_channel():
    component = find("channel", "lossy")
    assert resolve(component.build) is lossy and component.params is Lossy


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_sound_comes_out_the_same_whatever_stands_beside_it(codec):
    x, params = chirp(3), Lossy(codec=codec)
    y = heard(params, x)
    assert torch.equal(y, heard(params, x, "judge/7"))
    assert torch.equal(y[[2]], heard(params, x[[2]]))


@pytest.mark.parametrize("codec", CODECS)
def test_sound_comes_out_as_long_no_later_and_worse_the_smaller_the_file(codec):
    x = chirp()
    good, bad = (heard(Lossy(codec=codec, compression=c), x) for c in (0, 0.99))
    assert good.shape == bad.shape == x.shape and not torch.equal(good, x)
    assert snr_db(good, x).item() > 15 and snr_db(good, x) > snr_db(bad, x) + 3
    around = range(-40, 41)
    match = [float((good.roll(-lag) * x)[:, 100:-100].sum()) for lag in around]
    assert around[match.index(max(match))] == 0


@pytest.mark.parametrize("codec", CODECS)
def test_silence_a_moment_and_what_is_too_loud_are_no_trouble(codec):
    params = Lossy(codec=codec)
    assert heard(params, torch.zeros(1, 500)).abs().max() < 1e-6
    assert heard(params, waves(1, 100)).shape == (1, 100)
    assert heard(params, (30 * chirp()).clamp(-1, 1)).abs().max() <= 1


def test_there_is_no_gradient_but_the_one_that_was_asked_for():
    x = chirp().requires_grad_(True)
    with pytest.raises(ValueError, match="no gradient; straight_through: true"):
        heard(Lossy(), x)
    y = heard(Lossy(straight_through=True), x)
    assert torch.allclose(y, heard(Lossy(), x.detach()), atol=1e-7)
    weights = waves(1, T, seed=1)
    (gradient,) = torch.autograd.grad((weights * y).sum(), x)
    assert torch.equal(gradient, weights)


def test_each_play_tells_the_codec():
    params = Lossy(codec="opus", compression=0.9)
    assert lossy.told(params, lossy.draw(params, streams(2), "judge/0", torch.arange(2), waves(2, 10))) == {
        "codec": ["opus"] * 2,
        "compression": [0.9] * 2,
    }


@pytest.mark.parametrize("wrong", [{"codec": "aac"}, {"compression": 1.0}, {"bitrate": 32}])
def test_what_the_encoders_do_not_do_is_refused(wrong):
    with pytest.raises(ValidationError):
        Lossy(**wrong)


def test_only_what_cannot_be_looked_through_says_so():
    assert Lossy().without_slope() and not Lossy(straight_through=True).without_slope() and not Codec().without_slope()
