"""The voice encoder: its front end by the definitions, and how well it tells voices apart."""

import numpy as np
import pytest
import torch

from raygrid.assets import cached, fetch
from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.data.pins_voices import PINS
from raygrid.metrics.verification import Pairs, auc
from raygrid.pins import ASSETS
from raygrid.registry import find
from raygrid.similarity import among, by_of
from raygrid.verification import all_pairs
from raygrid.victims.check import check_victim
from raygrid.victims.resemblyzer import HOP, STRETCH, stretches


@pytest.fixture(scope="module")
def victim():
    component = find("victim", "resemblyzer")
    params = component.params()
    return resolve(component.build)(params, resolve(component.identify)(params, "mine"))


@pytest.fixture(scope="module")
def noise():
    return 0.1 * torch.randn(3, 40_000, generator=torch.Generator().manual_seed(0))


def test_it_keeps_the_contract_of_victims(victim, noise):
    assert check_victim(victim, noise, torch.zeros(3, dtype=torch.long), 13) == []


def test_embeddings_have_length_1_and_no_negative_values(victim, noise):
    embeddings = victim(noise)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3))
    assert (embeddings >= 0).all()


def test_soft_recordings_are_amplified_and_loud_ones_left(victim, noise):
    soft = victim(0.01 * noise)
    assert torch.allclose(soft, victim(0.02 * noise), atol=1e-5)  # both below -30 dB
    assert not torch.allclose(victim(noise), victim(3 * noise), atol=1e-3)


@pytest.mark.parametrize(
    ("samples", "starts"),
    # The second stretch begins at 0.77 s and counts once three quarters of it, 1.2 s, are there.
    [
        (8000, [0]),
        (25_600, [0]),
        (31_519, [0]),
        (31_520, [0, 77]),
        (48_000, [0, 77, 154]),
        (160_000, list(range(0, 848, 77))),
    ],
)
def test_stretches_begin_each_0_77_s_and_the_last_has_to_be_there(samples, starts):
    assert stretches(samples) == starts


def test_mel_energies_are_those_of_their_definition(victim, noise):
    x = noise[:1].double().numpy()[0]
    gain = max(1.0, 10 ** (-30 / 20) / np.sqrt((x**2).mean()))
    padded = np.pad(gain * x, 200)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = (
        np.abs(np.fft.rfft(window * padded[77 * HOP : 77 * HOP + 400])) ** 2
    )  # the first window of the second stretch
    mel = victim.model.stretches(noise[:1])
    assert mel.shape == (1, len(stretches(40_000)), STRETCH, 40)
    assert np.allclose(mel[0, 1, 0].numpy(), power @ slaney(), rtol=1e-3)


def slaney():
    """Triangles [201, 40] as Slaney's toolbox has them: straight up to 1 kHz, then logarithmic, of equal area."""

    def hertz(mel):
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    top = 15 + np.log(8) / (np.log(6.4) / 27)  # of 8 kHz
    edges = hertz(np.linspace(0, top, 42))
    f = np.linspace(0, 8000, 201)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    return np.clip(np.minimum((f - low) / (middle - low), (high - f) / (high - middle)), 0, None) * 2 / (high - low)


def test_the_checkpoint_holds_tensors_and_nothing_that_runs():
    assert set(torch.load(fetch(ASSETS["resemblyzer"]), map_location="cpu", weights_only=True)) == {
        "step",
        "model_state",
        "optimizer_state",
    }


@pytest.mark.skipif(any(cached(asset) is None for asset in PINS), reason="packaged-voices is not in the cache (Debian)")
def test_thirteen_voices_are_told_apart_as_well_as_is_known(victim):
    component = find("data", "packaged-voices")
    table = resolve(component.build)(component.params(), None).table
    with torch.no_grad():
        embeddings = victim(torch.tensor(pixels(table)))
    pairs: Pairs = all_pairs(embeddings, table.column("label").to_pylist(), by_of(victim.info))
    eer, _, _ = pairs.eer
    assert round(eer, 3) == 0.012
    assert auc(pairs.similarity[pairs.genuine], pairs.impostors) > 0.99
    assert among(by_of(victim.info), embeddings).shape == (104, 104)
