"""Non-printability and total variation: by hand on small images, with gradients that stay finite."""

from math import sqrt

import pytest
import torch
from models import pixels

from raygrid.metrics.printing import INKS, PAPER, non_printability, printable_colors, total_variation

PRIMARIES = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])


def one_color(*rgb: float) -> torch.Tensor:
    return torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 4, 4).contiguous()


def test_the_palette_goes_from_the_bare_paper_to_the_mixture_of_all_inks():
    palette = printable_colors()
    assert palette.shape == (30, 3)
    assert len(palette.unique(dim=0)) == 30
    assert torch.allclose(palette[0], torch.tensor(PAPER))
    assert (palette <= torch.tensor(PAPER)).all()
    darkest = torch.tensor(PAPER) * torch.tensor(INKS[:3]).prod(0)
    assert torch.allclose(palette.amin(0), palette.new_tensor([0.04, 0.05, 0.04]), atol=0.02)
    assert any(torch.allclose(color, darkest) for color in palette)


@pytest.mark.parametrize("form", ["least", "product"])
def test_printable_colors_score_nothing_and_keep_a_finite_gradient(form):
    palette = printable_colors()
    x = palette.T.reshape(1, 3, 5, 6).clone().requires_grad_()
    score = non_printability(x, palette, form=form)
    assert score.item() == pytest.approx(0, abs=1e-7)
    (g,) = torch.autograd.grad(score.sum(), x)
    assert torch.isfinite(g).all()


def test_the_score_is_the_least_distance_or_the_product_of_all():
    x = one_color(0.5, 0.0, 0.0)  # from red 0.5, from green and blue sqrt(1.25)
    assert non_printability(x, PRIMARIES).item() == pytest.approx(0.5)
    assert non_printability(x, PRIMARIES, form="product").item() == pytest.approx(0.5 * 1.25)


def test_only_masked_pixels_are_scored():
    x = one_color(1.0, 0.0, 0.0)
    x[:, :, 0] = 0.5
    mask = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    mask[:, :, 0, :2] = mask[:, :, 1, :2] = True
    there = sqrt(3 * 0.25)
    assert non_printability(x, PRIMARIES).item() == pytest.approx(there / 4)
    assert non_printability(x, PRIMARIES, mask).item() == pytest.approx(there / 2)
    assert non_printability(x, PRIMARIES, torch.zeros_like(mask)).item() == 0


@pytest.mark.parametrize("form", ["least", "product"])
def test_descending_the_score_finds_a_printable_color(form):
    palette = printable_colors()
    x = pixels(2, 3, 3, 3).requires_grad_()
    first = non_printability(x, palette, form=form)
    (g,) = torch.autograd.grad(first.sum(), x)
    assert g.flatten(1).any(1).all()
    step = 0.02 * g / g.square().sum(1, keepdim=True).sqrt()
    assert (non_printability(x - step, palette, form=form) < first).all()


@pytest.mark.parametrize(
    ("shape", "palette", "form"),
    [
        ((1, 1, 4, 4), (30, 3), "least"),
        ((1, 3, 4, 4), (3,), "least"),
        ((1, 3, 4, 4), (0, 3), "least"),
        ((1, 3, 4, 4), (2, 3), "sum"),
    ],
)
def test_other_shapes_and_forms_are_refused(shape, palette, form):
    with pytest.raises(ValueError, match=r"pixels|form"):
        non_printability(torch.zeros(shape), torch.zeros(palette), form=form)


# Total variation


def test_one_color_does_not_vary_and_its_gradient_is_finite():
    x = one_color(0.2, 0.4, 0.6).requires_grad_()
    variation = total_variation(x)
    assert variation.item() == 0
    (g,) = torch.autograd.grad(variation.sum(), x)
    assert torch.isfinite(g).all()


def test_a_corner_counts_the_root_of_both_differences():
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = 1.0  # it differs from two neighbors itself; the ones above and to the left differ from it
    assert total_variation(x).item() == pytest.approx((sqrt(2) + 1 + 1) / 9)


def test_channels_add_up_and_samples_stand_alone():
    x = pixels(3, 2, 5, 6)
    parts = total_variation(x[:, :1]) + total_variation(x[:, 1:])
    assert torch.allclose(total_variation(x), parts)
    assert torch.allclose(total_variation(x)[1], total_variation(x[1:2])[0])


def test_the_edge_of_a_mask_is_no_variation():
    x, mask = pixels(1, 3, 6, 6), torch.zeros(1, 1, 6, 6, dtype=torch.bool)
    mask[:, :, 1:4, 2:5] = True
    pasted = torch.where(mask, x, 0.5)
    assert torch.allclose(total_variation(pasted, mask), total_variation(x[:, :, 1:4, 2:5]))
