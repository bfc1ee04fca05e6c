"""STOI and PESQ: right at the ends of their scales, falling in between, and nothing where they mean nothing."""

import pytest
import torch

from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.metrics.intelligibility import pesq, stoi
from raygrid.registry import find


@pytest.fixture(scope="module")
def speech():
    """Three seconds [1, T] of somebody who reads."""
    component = find("data", "moonshine-speech")
    return torch.tensor(pixels(resolve(component.build)(component.params(seconds=3.0), 1).table))


@pytest.fixture(params=["stoi", "pesq"])
def measure(request):
    pytest.importorskip({"stoi": "pystoi", "pesq": "pesq"}[request.param], reason="its package is optional")
    return {"stoi": (stoi, 1.0), "pesq": (pesq, 4.64)}[request.param]


def noisy(x, db):
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return x + noise * x.square().mean().sqrt() * 10 ** (-db / 20)


def test_a_clip_beside_itself_is_at_the_top_and_noise_takes_it_down(measure, speech):
    of, most = measure
    (same,) = of(speech, speech, 16_000)
    assert same == pytest.approx(most, abs=0.01)
    falling = [of(noisy(speech, db), speech, 16_000)[0] for db in (30, 10, -10)]
    assert same > falling[0] > falling[1] > falling[2]


def test_each_clip_of_a_batch_is_measured_alone(measure, speech):
    of, _ = measure
    both = torch.cat([noisy(speech, 20), noisy(speech, 5)])
    assert of(both, speech.expand(2, -1), 16_000) == [of(z[None], speech, 16_000)[0] for z in both]


def test_nothing_is_said_of_silence_of_values_that_are_none_and_of_a_moment(measure, speech):
    of, _ = measure
    broken = speech.clone()
    broken[0, 5] = float("nan")
    assert of(speech, 0 * speech, 16_000) == of(broken, speech, 16_000) == [None]
    assert of(speech[:, :1000], speech[:, :1000], 16_000) == [None]


def test_pesq_is_for_two_rates(speech):
    pytest.importorskip("pesq", reason="its package is optional")
    assert pesq(speech, speech, 11_025) == [None]
