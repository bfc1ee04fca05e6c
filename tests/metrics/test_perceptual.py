"""PSNR, SSIM and MS-SSIM against closed forms and against the implementations of others."""

import math

import numpy as np
import pytest
import torch
from models import pixels

from raygrid.metrics.distances import measure
from raygrid.metrics.perceptual import C1, SCALE_WEIGHTS, psnr, similarity

torch.set_num_threads(1)


def photos(n=3, channels=3, side=192):
    """Smooth pictures with edges, between 0.1 and 0.9, so that what is added to them stays a picture."""
    y, x = torch.meshgrid(*[torch.linspace(0, 1, side)] * 2, indexing="ij")
    waves = [
        torch.sin((7 + i) * x * (1 + y) + c) + (x * (i + 1) % 1 > y).float() for i in range(n) for c in range(channels)
    ]
    waves = torch.stack(waves).view(n, channels, side, side)
    return 0.1 + 0.8 * (waves - waves.min()) / (waves.max() - waves.min())


def noisy(x, scale):
    return (x + scale * (pixels(*x.shape, seed=1) - 0.5)).clamp(0, 1)


SCALES = [0.002, 0.02, 0.2, 1.5]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(11, 11), (28, 28), (33, 47)], ids=str)
def test_ssim_and_psnr_are_scikit_images(shape, channels, scale):
    metrics = pytest.importorskip("skimage.metrics")
    x = photos(channels=channels, side=64)[..., : shape[0], : shape[1]]
    z = noisy(x, scale)
    ours = similarity(z, x)
    assert ours.ms_ssim is None
    for i in range(len(x)):
        a, b = x[i].double().numpy(), z[i].double().numpy()
        theirs = metrics.structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=0
        )
        assert ours.ssim[i].item() == pytest.approx(theirs, abs=2e-5)
        wanted = metrics.peak_signal_noise_ratio(a, b, data_range=1.0)
        assert psnr(z, x)[i].item() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(176, 176), (224, 192)], ids=str)
def test_ms_ssim_is_put_together_from_scikit_images_ssim(shape, scale):
    """With a huge K1 the luminance is 1, and what is left of its SSIM is contrast and structure."""
    metrics = pytest.importorskip("skimage.metrics")
    x = photos(1, 2, 224)[..., : shape[0], : shape[1]]
    z = noisy(x, scale)
    channels = []
    for a, b in zip(x[0].double().numpy(), z[0].double().numpy(), strict=True):
        value = 1.0
        for scale_number, weight in enumerate(SCALE_WEIGHTS):
            k1 = 0.01 if scale_number == 4 else 1e6
            kinds = {
                "gaussian_weights": True,
                "sigma": 1.5,
                "use_sample_covariance": False,
                "data_range": 1.0,
                "K1": k1,
            }
            value *= metrics.structural_similarity(a, b, **kinds) ** weight
            a, b = (p.reshape(p.shape[0] // 2, 2, p.shape[1] // 2, 2).mean((1, 3)) for p in (trim(a), trim(b)))
        channels.append(value)
    assert similarity(z, x).ms_ssim.item() == pytest.approx(np.mean(channels), abs=2e-5)


def trim(picture):
    """Drop an odd last row and column."""
    return picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]


@pytest.mark.parametrize("scale", SCALES)
def test_ms_ssim_is_about_torchmetrics(scale):
    """Which pads the coarsest scale instead of leaving its border out, and takes all channels in one mean."""
    functional = pytest.importorskip("torchmetrics.functional.image")
    x = photos(2, 1, 224)
    z = noisy(x, scale)
    theirs = [
        functional.multiscale_structural_similarity_index_measure(a[None], b[None], data_range=1.0, normalize="relu")
        for a, b in zip(z.double(), x.double(), strict=True)
    ]
    assert similarity(z, x).ms_ssim.tolist() == pytest.approx([value.item() for value in theirs], abs=2e-3)


def test_a_picture_is_like_itself():
    x = photos()
    assert similarity(x, x).ssim.tolist() == similarity(x, x).ms_ssim.tolist() == [1.0] * 3
    assert psnr(x, x).tolist() == [math.inf] * 3


@pytest.mark.parametrize("shift", [0.25 / 255, 0.05, -0.1])
def test_a_constant_shift_costs_luminance_only(shift):
    gray = torch.full((2, 3, 192, 192), 0.4)
    lost = shift**2 / (0.4**2 + (0.4 + shift) ** 2 + C1)
    found = similarity(gray + shift, gray)
    assert found.ssim.tolist() == pytest.approx([1 - lost] * 2, abs=1e-6)
    assert found.ms_ssim.tolist() == pytest.approx([(1 - lost) ** SCALE_WEIGHTS[-1]] * 2, abs=1e-6)
    assert psnr(gray + shift, gray).tolist() == pytest.approx([-20 * math.log10(abs(shift))] * 2, rel=1e-5)


def test_the_smallest_perturbation_is_not_lost_in_rounding():
    """0.25/255 on a bright even picture: variances of 1e-6 beside means of 0.9."""
    x = torch.full((1, 1, 64, 64), 0.9)
    d = 0.25 / 255 * (2 * (pixels(1, 1, 64, 64) > 0.5).float() - 1)
    exact = 1 - similarity((x + d).double(), x.double()).ssim.item()
    assert 1 - similarity(x + d, x).ssim.item() == pytest.approx(exact, rel=2e-3)
    assert exact > 1e-4


def test_inverted_structure_is_unlike_and_has_no_root():
    x = pixels(1, 1, 192, 192)
    found = similarity(1 - x, x)
    assert found.ssim.item() < -0.5
    assert found.ms_ssim.item() == 0


@pytest.mark.parametrize(
    ("side", "has"), [(10, (False, False)), (11, (True, False)), (175, (True, False)), (176, (True, True))]
)
def test_a_measure_is_none_where_the_picture_is_too_small(side, has):
    x = pixels(1, 1, side, side + 5)
    assert tuple(value is not None for value in similarity(x, x)) == has
    (found,) = measure(x, x)
    assert (found.ssim is not None, found.ms_ssim is not None) == has


def test_a_sample_is_measured_by_itself():
    x = photos()
    z = noisy(x, 0.1)

    def learned(z, x):
        return (z - x).abs().amax((1, 2, 3))

    whole = measure(z, x, learned)
    alone = [measure(z[i : i + 1], x[i : i + 1], learned)[0] for i in range(3)]
    for one, other in zip(whole, alone, strict=True):
        assert vars(one) == pytest.approx(vars(other), rel=1e-6)


def test_what_is_not_defined_is_none_and_spreads_to_no_other_sample():
    x = photos(4, 1, 16)
    z = noisy(x, 0.1)
    z[1], z[2, 0, 3, 3] = x[1], math.nan
    x[3] = 0
    found = measure(z, x)
    assert (found[1].psnr_db, found[1].snr_db, found[1].ssim, found[1].l0) == (None, None, 1.0, 0)
    assert (found[2].psnr_db, found[2].snr_db, found[2].ssim) == (None, None, None)
    assert found[3].snr_db is None and found[3].psnr_db > 0
    assert all(isinstance(value, float) for value in (found[0].psnr_db, found[0].ssim, found[0].snr_db))
    assert measure(x[:0], x[:0]) == []
