"""Words spoken into a carrier: how loud they are, where they lie, and that nobody is asked."""

import pytest
import torch
from models import numbers

from raygrid.assets import cached
from raygrid.attacks.catalog_audio import SAID
from raygrid.channels import recordings
from raygrid.component import resolve
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.metrics.signal import snr_db
from raygrid.oracle import Oracle
from raygrid.pins import ASSETS
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.sample_errors import SampleError
from raygrid.spec import Budget

COMPONENT = find("attack", "spoken")
VOICE = 0.3 * numbers(1001, seed=8)


@pytest.fixture(autouse=True)
def voice(monkeypatch):
    """A recording of noise in place of the pinned ones."""
    monkeypatch.setattr("raygrid.attacks.spoken.pinned", lambda name: VOICE if name == SAID["hello"] else None)


def nobody(x):
    raise AssertionError("nobody is asked")


def mix(x, words="hello", skip=None, **params):
    oracle = Oracle(nobody, len(x), access="none", skip=skip, budget=Budget())
    goal = Goal("transcribe", torch.zeros(len(x), dtype=torch.long))
    randomness = Randomness(0, "spoken", [str(i) for i in range(len(x))])
    parsed = dict(parse(COMPONENT, {"words": words, **params}))
    return resolve(COMPONENT.build)(oracle, goal, x, Constraint("linf", float("inf"), -1, 1), randomness, **parsed)


@pytest.mark.parametrize("snr", [-3.0, 9.0])
def test_the_words_lie_in_the_middle_and_are_as_loud_as_is_said(snr):
    x = torch.tensor([[0.01], [0.05]]) * numbers(2, 4000, seed=1)
    z = mix(x, snr_db=snr)
    assert torch.allclose(snr_db(z, x), torch.tensor(snr).double(), atol=1e-3)
    said = z - x
    assert said[:, :1499].abs().max() == 0 == said[:, 2500:].abs().max()
    assert torch.allclose(
        said[:, 1499:2500] / said[:, 1499:2500].norm(dim=1, keepdim=True), VOICE / VOICE.norm(), atol=1e-4
    )


def test_what_is_louder_than_a_file_holds_is_cut_off():
    assert mix(0.3 * numbers(1, 4000, seed=1), snr_db=-40).abs().max() == 1


def test_a_carrier_that_is_silent_or_too_short_is_named():
    x = 0.1 * numbers(3, 4000, seed=1)
    x[1] = 0
    with pytest.raises(SampleError, match="silent") as error:
        mix(x)
    assert error.value.positions == [1]
    assert torch.equal(mix(x, skip=torch.tensor([False, True, False]))[1], x[1])
    with pytest.raises(SampleError, match=r'0.06 s is shorter than the recording of "hello", 0.06 s') as error:
        mix(x[[0, 2], :1000])
    assert error.value.positions == [0, 1]
    with pytest.raises(ValueError, match=r"waveforms \[N, T\]"):
        mix(torch.zeros(1, 1, 6, 6))


@pytest.mark.parametrize("words", SAID)
def test_every_recording_is_pinned_and_shorter_than_a_carrier(words):
    asset = ASSETS[SAID[words]]
    if cached(asset) is None:
        pytest.skip(f"{asset.name} is not cached: raygrid assets fetch {asset.name}")
    assert 0.4 < len(recordings.pinned(asset.name)) / 16_000 < 3
