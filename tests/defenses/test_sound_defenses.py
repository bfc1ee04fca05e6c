"""Defenses of sound: what they leave of a waveform, and that gradients, noise and votes get through to a recognizer behind them."""

import numpy as np
import pytest
import torch
from scipy.signal import medfilt
from torch import nn

from raygrid.component import resolve
from raygrid.defenses.defended import Defended
from raygrid.errors import UsageError
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.victims.info import VictimInfo
from raygrid.victims.recognizer import Recognizer
from raygrid.victims.victim import Victim

RATE = 16_000
INFO = VictimInfo("ear", "ear", 3, (1, None, None), (0.0,), (1.0,), "", task="transcription", sample_rate=RATE)


class Ear(nn.Module):
    """Log-probabilities of three tokens from frames of ten samples."""

    def forward(self, x):
        return torch.stack([x.unflatten(1, (-1, 10)).sum(-1) * k for k in (1.0, -1.0, 0.5)], -1).log_softmax(-1)


EAR = Recognizer(Ear(), INFO, None, 1)
SOUNDS = ("band-filter", "lower-rate", "quantized", "median-filter")
X = 0.5 * torch.randn(3, RATE // 4, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)


def behind(name, victim=EAR, **params) -> Defended:
    component = find("defense", name)
    return resolve(component.build)(parse(component, params), victim)


def tone(hertz):
    return 0.5 * torch.sin(2 * np.pi * hertz * torch.arange(RATE) / RATE)[None]


def heard(defended, x):
    return defended.before(x, Randomness(0, "d", list("abc")).draws(torch.arange(len(x)), ["judge/0"] * len(x)))


@pytest.mark.parametrize("name", SOUNDS)
def test_an_answer_is_that_to_what_is_heard_clip_by_clip(name):
    defended = behind(name)
    assert torch.equal(defended(X), EAR(heard(defended, X)))
    assert torch.allclose(defended(X)[1:2], defended(X[1:2]), atol=1e-6)
    assert heard(defended, X).abs().max() <= 1
    assert heard(defended, X).shape == X.shape


@pytest.mark.parametrize("name", SOUNDS)
def test_a_gradient_comes_through(name):
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(behind(name).soft(x)[..., 0].sum(), x)
    assert torch.isfinite(gradient).all() and gradient.flatten(1).any(1).all()


@pytest.mark.parametrize(
    ("params", "low", "high"),
    [({"high": 2000}, 1, 0), ({"high": 2000, "stops": True}, 0, 1), ({"low": 2000, "high": 8000}, 0, 1)],
)
def test_a_band_passes_or_is_stopped(params, low, high):
    for hertz, share in ((500, low), (6000, high)):
        passed = heard(behind("band-filter", **params), tone(hertz)).square().mean() / tone(hertz).square().mean()
        assert passed == pytest.approx(share, abs=0.2)


def test_a_lower_rate_loses_what_lies_above_half_of_it():
    defended = behind("lower-rate", rate=8000)
    assert heard(defended, tone(6000))[:, 500:-500].abs().max() < 0.02
    assert torch.allclose(heard(defended, tone(500))[:, 500:-500], tone(500)[:, 500:-500], atol=0.02)


def test_levels_are_as_many_as_the_bits_say():
    seen = heard(behind("quantized", bits=3), torch.linspace(-1, 1, 1000)[None].expand(1, -1))
    assert seen.unique().tolist() == [k / 4 for k in range(-4, 4)]


def test_the_median_is_that_of_scipy_inside():
    seen = heard(behind("median-filter", size=5), X)
    for own, x in zip(seen, X, strict=True):
        assert np.allclose(own[2:-2], medfilt(x.numpy(), 5)[2:-2])


def test_votes_over_noise_are_the_mean_of_what_each_copy_hears_frame_by_frame():
    noisy = behind("noise", sigma=0.1, votes=3, vote="mean")
    draws = Randomness(0, "defense", list("abc")).draws(torch.arange(3), ["judge/0"] * 3)
    z = X[:, None] + draws.normal("0/0", X, 3, 0.1)
    expected = EAR(z.flatten(0, 1)).unflatten(0, (3, 3)).exp().mean(1).log()
    assert torch.allclose(noisy(X, draws), expected, atol=1e-5)


def test_wrong_parameters_are_told():
    for name, params, message in (
        ("median-filter", {"size": 4}, "odd"),
        ("band-filter", {"low": 5000, "high": 400}, "low must be below high"),
    ):
        with pytest.raises(UsageError, match=message):
            behind(name, **params)
    deaf = VictimInfo("deaf", "deaf", 3, (1, 4, 4), (0.0,), (1.0,), "")
    with pytest.raises(UsageError, match="hears nothing"):
        behind("quantized", Victim(nn.Identity(), deaf))
