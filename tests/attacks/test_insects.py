"""The bank of drawn insects, and pasting: where a patch lands, that gradients reach its place, and that rows stay apart."""

from math import pi

import pytest
import torch
from models import pixels

from raygrid.attacks.insects import BANK, insects
from raygrid.attacks.paste import paste

# The bank


def test_the_bank_is_the_same_at_every_call():
    assert torch.equal(insects(24), insects(24))
    assert insects(24).shape == (24, 4, 24, 24) == (len(BANK), 4, 24, 24)


@pytest.mark.parametrize("size", [8, 32, 100])
def test_insects_are_colors_in_the_box_and_nothing_where_they_are_clear(size):
    bank = insects(size)
    assert bank.min() >= 0
    assert bank.max() <= 1
    assert not bank[:, :3][(bank[:, 3:] == 0).expand(-1, 3, -1, -1)].any()


def test_every_insect_is_symmetric_opaque_in_the_middle_and_clear_around():
    bank = insects(64)
    assert (bank - bank.flip(3)).abs().mean((1, 2, 3)).max() < 0.01
    assert (bank[:, 3, 24:40, 30:34] == 1).all()
    assert not bank[:, 3, [0, 0, -1, -1], [0, -1, 0, -1]].any()
    opaque = bank[:, 3].mean((1, 2))
    assert opaque.min() > 0.2
    assert opaque.max() < 0.7


def test_no_two_insects_are_alike():
    bank = insects(32).flatten(1)
    apart = (bank[:, None] - bank[None]).abs().mean(2) + torch.eye(len(bank))
    assert apart.min() > 0.01


def test_a_small_insect_is_the_large_one_averaged():
    large, small = insects(64), insects(32)
    color, opacity = (torch.nn.functional.avg_pool2d(part, 2) for part in (large[:, :3] * large[:, 3:], large[:, 3:]))
    assert torch.allclose(small[:, 3:], opacity, atol=0.02)
    assert (small[:, :3] * small[:, 3:] - color).abs().max() < 0.02


@pytest.mark.parametrize("size", [0, 385])
def test_a_size_that_no_drawing_has_is_refused(size):
    with pytest.raises(ValueError, match="size"):
        insects(size)


# Pasting


def patch(batch: int = 1, size: int = 8, color: float = 1.0, opacity: float = 1.0) -> torch.Tensor:
    return torch.cat([torch.full((batch, 3, size, size), color), torch.full((batch, 1, size, size), opacity)], dim=1)


def at(batch: int = 1, row=0.5, column=0.5, angle=0.0, size=0.5) -> tuple[torch.Tensor, ...]:
    return tuple(torch.as_tensor(value).expand(batch) for value in (row, column, angle, size))


def test_a_clear_patch_leaves_the_image_bit_for_bit():
    x = pixels(3, 3, 16, 16)
    assert torch.equal(paste(x, patch(3, opacity=0.0), *at(3)), x)


def test_an_opaque_patch_of_the_image_s_size_replaces_it():
    x, rgba = pixels(1, 3, 16, 16), torch.cat([pixels(1, 3, 16, 16, seed=1), torch.ones(1, 1, 16, 16)], dim=1)
    assert torch.allclose(paste(x, rgba, *at(size=1.0)), rgba[:, :3], atol=1e-5)


def test_half_an_opacity_mixes():
    x = torch.zeros(1, 3, 16, 16)
    y = paste(x, patch(opacity=0.5, color=0.8), *at())
    assert torch.allclose(y[:, :, 5:11, 5:11], torch.tensor(0.4))


def test_a_patch_lands_at_its_row_and_column_of_an_oblong_image():
    y = paste(torch.zeros(1, 3, 16, 32), patch(), *at(row=0.25, column=0.75, size=0.25))[0, 0]
    rows, columns = y.nonzero().T
    assert (rows.float() + 0.5).mean().item() == pytest.approx(4, abs=1e-4)
    assert (columns.float() + 0.5).mean().item() == pytest.approx(24, abs=1e-4)
    assert y.sum().item() == pytest.approx(16, rel=0.05)  # 4 x 4 pixels


def test_a_quarter_turn_is_clockwise():
    rgba = torch.cat([pixels(1, 3, 8, 8), torch.ones(1, 1, 8, 8)], dim=1)
    straight = paste(torch.zeros(1, 3, 16, 16), rgba, *at())
    turned = paste(torch.zeros(1, 3, 16, 16), rgba, *at(angle=pi / 2))
    assert torch.allclose(turned, straight.rot90(-1, (2, 3)), atol=1e-4)


def test_what_lies_outside_is_cut_off():
    y = paste(torch.zeros(1, 3, 16, 16), patch(), *at(row=0.0, column=0.0))[0, 0]
    assert y.sum().item() == pytest.approx(16, rel=0.05)  # a quarter of 8 x 8 pixels
    assert not paste(torch.zeros(1, 3, 16, 16), patch(), *at(row=3.0)).any()


@pytest.mark.parametrize("size", [64, 48, 45])
def test_a_patch_much_larger_than_its_place_is_averaged(size):
    checks = ((torch.arange(size)[:, None] + torch.arange(size)) % 2).float().expand(1, 3, -1, -1)
    rgba = torch.cat([checks, torch.ones(1, 1, size, size)], dim=1)
    y = paste(torch.zeros(1, 3, 16, 16), rgba, *at(size=0.5))
    assert torch.allclose(y[:, :, 5:11, 5:11], torch.tensor(0.5), atol=0.02)


def test_clear_pixels_lend_the_rim_no_color():
    rgba = patch(color=1.0)
    rgba[:, :3, :, :4], rgba[:, 3:, :, :4] = 0.0, 0.0  # clear and black on the left, white on the right
    y = paste(torch.ones(1, 3, 16, 16), rgba, *at(size=0.77, column=0.47))
    assert y.min() > 0.999


def test_rows_stay_apart_whatever_their_sizes():
    x, bank = pixels(6, 3, 32, 32), insects(64)[::4]
    places = (pixels(6), pixels(6, seed=1), 6 * pixels(6, seed=2), torch.tensor([0.05, 0.1, 0.2, 0.4, 0.8, 1.5]))
    together = paste(x, bank, *places)
    for row in range(6):
        alone = paste(x[[row]], bank[[row]], *(place[[row]] for place in places))
        assert torch.equal(alone[0], together[row])
    assert together.min() >= 0
    assert together.max() <= 1


def test_the_gradient_reaches_image_patch_and_place():
    """Held against differences: in between the places where bilinear interpolation has its kinks, it is smooth."""
    x = pixels(2, 3, 12, 12).double()
    ramp = torch.linspace(0.2, 0.8, 16).double()
    rgba = torch.stack([ramp.expand(16, 16), ramp[:, None].expand(16, 16), 0.5 * (ramp + ramp[:, None])])
    rgba = torch.cat([rgba, 0.9 * torch.ones(1, 16, 16).double()]).expand(2, -1, -1, -1).contiguous()
    places = [torch.tensor(pair).double() for pair in ([0.41, 0.53], [0.47, 0.56], [0.3, -1.1], [0.83, 0.71])]
    inputs = [tensor.clone().requires_grad_() for tensor in (x, rgba, *places)]
    weights = pixels(2, 3, 12, 12, seed=3).double()
    gradients = torch.autograd.grad((weights * paste(*inputs)).sum(), inputs)
    assert all(g.flatten(1).abs().amax(1).min() > 1e-4 if g.ndim > 1 else g.abs().min() > 1e-4 for g in gradients)
    assert torch.autograd.gradcheck(lambda *at: (weights * paste(x, rgba, *at)).sum(), inputs[2:], eps=1e-7, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 4, 8, 6), (2, 4, 8, 8), (4, 8, 8)])
def test_patches_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="rgba"):
        paste(pixels(1, 3, 16, 16), torch.zeros(shape), *at())
