"""Channels of sound one after another: in any order, each with numbers of its own, and through the kernel as one channel."""

import pytest
import torch
from sounds import SMALL, streams, waves

from raygrid.batch import Batch, channel_of
from raygrid.chain import channel_chain
from raygrid.channels.catalog import View
from raygrid.channels.catalog_audio import Band, Clip, Codec, Gain, Noise, Offset, Resample
from raygrid.channels.chain import chained
from raygrid.channels.room_bank import kept_bank
from raygrid.component import resolve
from raygrid.keys import canonical
from raygrid.registry import find
from raygrid.spec import AttackSpec, ChannelSpec

T = 8000
EVERYTHING = [
    ("gain", Gain()),
    ("clip", Clip(level=0.9)),
    ("room", SMALL),
    ("band", Band()),
    ("noise", Noise(snr=20)),
    ("offset", Offset(most=0.01)),
    ("resample", Resample(rate=12_000)),
    ("codec", Codec()),
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYGRID_CACHE", str(tmp_path_factory.mktemp("cache")))
        kept_bank.cache_clear()
        yield
        kept_bank.cache_clear()


def specs(*parts):
    return [ChannelSpec(find("channel", name), params) for name, params in parts]


def heard(spec, x, purpose="craft/0/0", rows=None):
    rows = list(range(len(x))) if rows is None else rows
    build = resolve(spec.component.build)
    return build(spec.params, x[rows], streams(len(x)), purpose, torch.tensor(rows))


@pytest.mark.parametrize("order", [1, -1])
def test_everything_at_once_in_any_order_belongs_to_its_sample_and_has_a_gradient(order):
    chain = channel_chain(specs(*EVERYTHING[::order]))
    x = waves(4, T).requires_grad_()
    y = heard(chain, x)
    assert y.shape == x.shape
    assert y.abs().max() <= 1
    assert torch.allclose(heard(chain, x, rows=[3, 1]), y[[3, 1]], atol=2 / 127)  # a level of the codec may tip over
    (g,) = torch.autograd.grad(y.square().sum(), x)
    assert torch.isfinite(g).all()
    assert g.abs().amax(1).min() > 0


def test_the_first_part_comes_first():
    loud = ("gain", Gain(least=20, most=20))
    soft = ("clip", Clip(level=0.1))
    x = waves(1, T, size=0.02)
    assert heard(channel_chain(specs(loud, soft)), x).abs().max() == pytest.approx(0.1)
    assert heard(channel_chain(specs(soft, loud)), x).abs().max() > 0.5


def test_two_parts_of_a_kind_draw_numbers_of_their_own_and_tell_them_apart():
    chain = channel_chain(specs(("gain", Gain()), ("room", SMALL), ("gain", Gain())))
    x = waves(3, T)
    plays = chained.draw(chain.params, streams(3), "judge/0", torch.arange(3), x)
    columns = chained.told(chain.params, plays)
    assert set(columns) == {
        "gain.gain_db",
        "room.room_id",
        "room.split",
        "room.rt60",
        "room.distance",
        "gain-2.gain_db",
    }
    assert columns["gain.gain_db"] != columns["gain-2.gain_db"]
    assert columns["room.split"] == ["judge"] * 3
    assert torch.equal(chained.apply(chain.params, x, plays), heard(chain, x, "judge/0"))


def test_one_channel_is_no_chain_and_none_is_refused():
    (one,) = specs(("clip", Clip()))
    assert channel_chain([one]) is one
    with pytest.raises(ValueError, match="no channels"):
        channel_chain([])


def test_a_view_does_not_go_into_a_chain():
    with pytest.raises(ValueError, match='channel "view" is for pictures'):
        channel_chain(specs(("clip", Clip()), ("view", View())))


def test_a_chain_is_named_and_keyed_by_its_parts():
    chain = channel_chain(specs(("room", SMALL), ("noise", Noise(snr=10))))
    other = channel_chain(specs(("room", SMALL), ("noise", Noise(snr=11))))
    assert chain.component.name == "room+noise"
    assert chain.params.named("").endswith("noise(snr=10.0)")
    keys = {canonical(spec.params.model_dump(mode="json")) for spec in (chain, other)}
    assert len(keys) == 2


def test_the_kernel_hears_through_a_chain():
    chain = channel_chain(specs(("room", SMALL), ("noise", Noise())))
    x = waves(3, T)
    samples = Batch([f"s-{k}" for k in range(3)], x, torch.zeros(3, dtype=torch.long), 2)
    attack = AttackSpec(find("attack", "pgd"), find("attack", "pgd").params(), "linf", 0.1, channel=chain)
    channel = channel_of(attack, samples, 0)
    assert channel is not None
    once = channel(x, torch.arange(3), "judge/0")
    assert torch.equal(channel(x, torch.arange(3), "judge/0"), once)
    assert not torch.allclose(channel(x, torch.arange(3), "judge/1"), once, atol=1e-3)
