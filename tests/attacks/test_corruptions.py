"""Every common corruption: no look at the victim, in the box, worse with severity, and what it says it is in closed form.

tests/golden/corruptions.json is written anew by `python tests/attacks/test_corruptions.py`, after the version was raised.
"""

import colorsys
import io
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the script

from cases import batch_of
from models import Tiny, digits, numbers, pixels

import raygrid
from raygrid.attacks import corruption_lens as lens
from raygrid.attacks.catalog_corruption import Corruption, CorruptionKind
from raygrid.attacks.corruptions import KINDS, Draws, corruption, jpeg, pixelate
from raygrid.constraints import Constraint
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.kernel import craft
from raygrid.metrics.perceptual import similarity
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.registry import find, parse
from raygrid.spec import AttackSpec, Budget

torch.set_num_threads(1)

SEVERITIES = (1, 2, 3, 4, 5)
EVERY = pytest.mark.parametrize("kind", KINDS)
NOISES = {"gaussian-noise", "shot-noise", "impulse-noise", "speckle-noise"}
RANDOM = NOISES | {"motion-blur", "fog", "frost-like", "snow-like", "elastic"}
BOX = Constraint("linf", float("inf"))
GOLDEN = Path(__file__).parents[1] / "golden" / "corruptions.json"


def never(x):
    raise AssertionError("a corruption takes no look at the victim")


def corrupted(x, kind, severity=3, *, seed=0, ids=None, skip=None):
    """What the attack makes of x, with an oracle that gives no answers."""
    oracle = Oracle(never, len(x), access="none", skip=skip)
    randomness = Randomness(seed, "corruption", ids or [str(i) for i in range(len(x))])
    goal = Goal("untargeted", torch.zeros(len(x), dtype=torch.long))
    z = corruption(oracle, goal, x, BOX, randomness, kind=kind, severity=severity)
    assert not oracle.forwards.any() and not oracle.backwards.any()
    return z


def photos(n=4, height=96, width=112):
    """Colored waves and edges: something to blur, to compress and to pull about."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    planes = [
        0.3 * torch.sin((9 + 4 * i) * x * (1 + y) + 2 * c) + 0.3 * ((5 + i + c) * (x + y) % 1 > 0.5).float()
        for i in range(n)
        for c in range(3)
    ]
    return (0.35 + torch.stack(planes).view(n, 3, height, width)).clamp(0, 1)


def distance(z, x):
    return (z - x).double().flatten(1).square().mean(1).sqrt()


def draws(n=1):
    return Draws(Randomness(0, "corruption", [str(i) for i in range(n)]), torch.arange(n))


def test_the_catalog_names_every_kind():
    assert list(get_args(CorruptionKind)) == list(KINDS)
    assert all(len(kind.levels) == len(SEVERITIES) for kind in KINDS.values())


SHAPES = [(1, 28, 28), (3, 32, 32), (3, 20, 33), (1, 6, 6), (3, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@EVERY
def test_stays_in_the_box_whatever_the_picture(kind, shape):
    if shape[0] == 1 and kind == "saturate":
        pytest.skip("refused: see misfit")
    x = torch.stack([torch.zeros(shape), torch.ones(shape), pixels(*shape), pixels(*shape).round()])
    for severity in SEVERITIES:
        z = corrupted(x, kind, severity)
        assert z.shape == x.shape and z.dtype == x.dtype
        assert ((z >= 0) & (z <= 1)).all()


@EVERY
def test_gets_worse_with_severity(kind):
    """By the distance; fog and snow by what SSIM loses, since the one darkens and the other whitens as it hides.

    Severities 3 and 4 of the fog have the same amount of it, and on digits come out alike.
    """
    pictures = {"digits": digits(12)[0], "small": photos(4, 32, 32), "photos": photos()}
    for name, x in pictures.items():
        if (name, kind) == ("digits", "saturate") or (name != "photos" and kind == "pixelate"):
            continue  # squares of 28 * 0.6 pixels come out further off than those of 28 * 0.5, which fit
        zs = [corrupted(x, kind, severity) for severity in SEVERITIES]
        if kind in {"fog", "snow-like"}:
            grown = [1 - similarity(z, x).ssim.mean().item() for z in zs]
        else:
            grown = [distance(z, x).mean().item() for z in zs]
        assert grown[0] > 0.003, name
        assert all(0.995 * a < b for a, b in pairwise(grown)), (name, grown)
        assert grown[-1] > 1.15 * grown[0], name


@EVERY
def test_a_sample_is_corrupted_alike_whatever_its_batch_and_order(kind):
    x = photos(5, 24, 31)
    ids = list("abcde")
    whole = corrupted(x, kind, ids=ids)
    order = [3, 0, 4, 1, 2]
    shuffled = corrupted(x[order], kind, ids=[ids[i] for i in order])
    alone = torch.cat([corrupted(x[i : i + 1], kind, ids=[ids[i]]) for i in range(5)])
    assert torch.allclose(shuffled, whole[order], atol=2e-6)
    assert torch.allclose(alone, whole, atol=2e-6)
    assert torch.equal(corrupted(x, kind, ids=ids), whole)


@EVERY
def test_the_seed_moves_what_is_random_and_nothing_else(kind):
    x = photos(2, 24, 31)
    same = torch.equal(corrupted(x, kind), corrupted(x, kind, seed=1))
    assert same is (kind not in RANDOM)
    twins = corrupted(x[:1].expand(2, -1, -1, -1).clone(), kind)
    assert torch.equal(twins[0], twins[1]) is (kind not in RANDOM)


@EVERY
def test_what_is_wrong_already_is_left_alone(kind):
    x = photos(3, 24, 31)
    z = corrupted(x, kind, skip=torch.tensor([False, True, False]))
    assert [torch.equal(a, b) for a, b in zip(z, x, strict=True)] == [False, True, False]
    assert torch.equal(corrupted(x, kind, skip=torch.ones(3, dtype=torch.bool)), x)


def test_the_kernel_spends_nothing_on_it_and_claims_nothing():
    x = pixels(6, 1, 6, 6)
    labels = Tiny()(x).argmax(1)
    component = find("attack", "corruption")
    params = parse(component, {"kind": "contrast", "severity": 5})
    attack = AttackSpec(component, params, "", float("inf"), access="none", budget=Budget(0, 0))
    made = craft(Tiny(), batch_of(x, labels, 3), attack, 0, access="none")
    assert not made.failures
    assert made.forwards == made.backwards == [0] * 6
    assert made.claimed == [False] * 6
    assert (made.x_adv != x).flatten(1).any(1).all()


# What each is


def test_gaussian_and_speckle_noise_have_their_deviation():
    x = torch.full((2, 3, 64, 64), 0.5)
    change, levels = KINDS["gaussian-noise"]
    assert (change(x, draws(2), *levels[1]) - x).std().item() == pytest.approx(0.12, rel=0.02)
    change, levels = KINDS["speckle-noise"]
    assert (change(x, draws(2), *levels[1]) - x).std().item() == pytest.approx(0.5 * 0.2, rel=0.02)
    assert torch.equal(corrupted(0 * x, "speckle-noise"), 0 * x)


def test_shot_noise_counts_photons():
    x = torch.full((2, 1, 96, 96), 0.4)
    change, levels = KINDS["shot-noise"]
    for (photons,) in levels:
        z = change(x, draws(2), photons)
        assert torch.allclose(z * photons, (z * photons).round(), atol=1e-5)
        assert z.mean().item() == pytest.approx(0.4, rel=0.03)
        assert z.var().item() == pytest.approx(0.4 / photons, rel=0.05)


def test_impulses_are_black_and_white_in_equal_shares():
    x = torch.full((1, 3, 128, 128), 0.5)
    z = corrupted(x, "impulse-noise", 5)
    assert (z == 0).float().mean().item() == pytest.approx(0.27 / 2, abs=0.01)
    assert (z == 1).float().mean().item() == pytest.approx(0.27 / 2, abs=0.01)
    assert set(z.unique().tolist()) == {0.0, 0.5, 1.0}


@pytest.mark.parametrize("sigma", [1, 2, 6])
def test_gaussian_blur_is_scipys(sigma):
    x = photos(1, 224, 224)
    ours = lens.gaussian_blur(x, draws(), sigma)[0]
    theirs = np.stack([ndimage.gaussian_filter(c, sigma, mode="nearest", truncate=4) for c in x[0].double().numpy()])
    assert np.abs(ours.numpy() - theirs).max() < 1e-5


def test_small_pictures_are_blurred_by_about_what_cifar_10_c_has():
    small = torch.empty(1, 3, 32, 32)
    found = [lens.spread(sigma, small) for (sigma,) in KINDS["gaussian-blur"].levels]
    assert found == pytest.approx([0.4, 0.6, 0.7, 0.8, 1.0], abs=0.2)
    assert lens.spread(3, torch.empty(1, 3, 224, 224)) == 3


@pytest.mark.parametrize("kind", ["gaussian-blur", "defocus-blur", "motion-blur", "zoom-blur", "elastic", "pixelate"])
def test_an_even_picture_has_nothing_to_blur(kind):
    x = torch.full((2, 3, 40, 50), 0.37)
    assert torch.allclose(corrupted(x, kind, 5), x, atol=1e-5)


def test_a_disk_spreads_a_point_evenly_over_itself():
    x = torch.zeros(1, 1, 224, 224)
    x[0, 0, 100, 120] = 1
    z = lens.defocus_blur(x, draws(), 6)[0, 0]
    rows, columns = torch.meshgrid(torch.arange(224) - 100, torch.arange(224) - 120, indexing="ij")
    far = torch.hypot(rows.float(), columns.float())
    assert z.sum().item() == pytest.approx(1, abs=1e-5)
    assert z[far <= 6].std() < 1e-6 < z[far <= 6].mean()
    assert z[far >= 7].abs().max() < 1e-6


@pytest.mark.parametrize(("angle", "shape"), [(0.0, (1, 21)), (np.pi / 2, (21, 1))])
def test_motion_runs_along_its_angle(angle, shape):
    x = torch.zeros(1, 1, 224, 224)
    x[0, 0, 100, 120] = 1
    z = lens.along_line(x, torch.tensor([angle]), 10, 3)[0, 0] > 1e-5
    assert (int(z.any(1).sum()), int(z.any(0).sum())) == shape


def test_motion_runs_within_45_degrees_of_the_horizontal():
    x = torch.zeros(40, 1, 64, 64)
    x[:, 0, 32, 32] = 1
    z = corrupted(x, "motion-blur", 5)[:, 0]
    places = torch.arange(64) - 32.0
    high, wide = (z.sum(axis) @ places.square() for axis in (2, 1))
    assert (high <= wide + 0.2).all()
    assert (high > 0.5 * wide).any() and (high < 0.1 * wide).any()


def test_a_zoom_of_one_is_the_picture_and_of_two_its_middle():
    x = photos(1, 40, 40)
    assert torch.allclose(lens.zoomed(x, 1.0), x, atol=1e-6)
    doubled = torch.nn.functional.interpolate(
        x[..., 10:30, 10:30], scale_factor=2, mode="bilinear", align_corners=False
    )
    assert torch.allclose(lens.zoomed(x, 2.0)[..., 2:-2, 2:-2], doubled[..., 2:-2, 2:-2], atol=1e-5)


def test_elastic_shifts_have_their_size():
    """On a slope of 1 a pixel, the picture tells how far each pixel was shifted sideways."""
    side = 224
    slope = (torch.arange(side) / 255.0).expand(1, 1, side, side).contiguous()
    z = lens.elastic(slope, draws(), 0.01, 0.05)
    inner = ((z - slope) * 255)[..., 30:-30, 30:-30]
    assert inner.square().mean().sqrt().item() == pytest.approx(0.01 * side, rel=0.35)
    assert inner.diff(dim=3).abs().max() < 1  # it folds nowhere


@pytest.mark.parametrize(("kind", "channel"), [("brightness", 2), ("saturate", 1)])
def test_colors_are_changed_in_hsv(kind, channel):
    x = pixels(1, 3, 8, 8)
    (number,) = KINDS[kind].levels[1]
    z = corrupted(x, kind, 2)
    for pixel, found in zip(x[0].flatten(1).T.tolist(), z[0].flatten(1).T.tolist(), strict=True):
        hsv = list(colorsys.rgb_to_hsv(*pixel))
        hsv[channel] = min(1.0, hsv[channel] + number if kind == "brightness" else hsv[channel] * number)
        assert found == pytest.approx(colorsys.hsv_to_rgb(*hsv), abs=1e-5)


def test_gray_gets_brighter_and_has_no_saturation():
    gray = pixels(1, 1, 8, 8)
    assert torch.allclose(corrupted(gray, "brightness", 3), (gray + 0.3).clamp_max(1), atol=1e-6)
    assert torch.allclose(corrupted(gray.expand(1, 3, 8, 8).clone(), "saturate", 5), gray.expand(1, 3, 8, 8), atol=1e-6)


def test_contrast_keeps_the_mean_and_scales_the_rest():
    x = photos(2)
    z = corrupted(x, "contrast", 4)
    assert torch.allclose(z.mean((2, 3)), x.mean((2, 3)), atol=1e-5)
    assert torch.allclose(z.std((2, 3)), 0.1 * x.std((2, 3)), atol=1e-5)


def test_pixels_become_squares_of_their_mean():
    x = photos(1, 32, 48)
    squares = torch.nn.functional.avg_pool2d(x, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.allclose(pixelate(x, draws(), 0.25), squares, atol=1e-6)


def test_fog_keeps_the_range_of_values():
    x = 0.5 * photos(2)
    for severity in SEVERITIES:
        z = corrupted(x, "fog", severity)
        assert (z.amax((1, 2, 3)) <= x.amax((1, 2, 3)) + 1e-6).all()
        assert (z.std((2, 3)) < x.std((2, 3))).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels):
    x = photos(1, 40, 56)[:, :channels]
    picture = (x[0] * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(file, "JPEG", quality=18)
    wanted = np.asarray(Image.open(file)).reshape(picture.shape)
    assert np.array_equal((jpeg(x, draws(), 18)[0] * 255).round().byte().permute(1, 2, 0).numpy(), wanted)


# What it is no use for


@pytest.mark.parametrize(
    ("kind", "shape", "words"),
    [("saturate", (1, 28, 28), "gray pictures have no saturation"), ("fog", (4, 28, 28), "1 or 3 channels, not 4")],
)
def test_a_picture_it_is_no_use_for_is_refused(kind, shape, words):
    assert words in Corruption(kind=kind, severity=1).misfit(shape)
    x = pixels(2, *shape)
    with pytest.raises(UsageError, match=words):
        raygrid.attack(torch.nn.Flatten(), x, torch.zeros(2, dtype=torch.long), "corruption", kind=kind, severity=1)
    assert Corruption(kind=kind, severity=1).misfit((3, 28, 28)) is None


# Golden outputs


def golden_inputs():
    waves = 0.5 + 0.6 * torch.sin(torch.arange(2 * 3 * 24 * 32, dtype=torch.float64).square() / 9000)
    return waves.clamp(0, 1).float().view(2, 3, 24, 32)


def golden_outcome(kind):
    """A few sums of what becomes of two pictures, at three severities."""
    x = golden_inputs()
    weights = numbers(3, x[0].numel(), seed=1) / x[0].numel() ** 0.5
    found = {str(s): (corrupted(x, kind, s).flatten(1) @ weights.T).flatten().tolist() for s in (1, 3, 5)}
    return {severity: [round(value, 5) for value in values] for severity, values in found.items()}


@EVERY
def test_outputs_move_only_with_a_new_version(kind):
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == find("attack", "corruption").version, "write tests/golden/corruptions.json anew"
    tolerance = 2e-2 if kind == "jpeg" else 1e-3  # decoders of JPEG may differ in a level
    for severity, values in golden_outcome(kind).items():
        assert values == pytest.approx(golden[kind][severity], abs=tolerance), "raise the version and write it anew"


if __name__ == "__main__":
    lines = [f'"{kind}": {json.dumps(golden_outcome(kind))}' for kind in KINDS]
    version = find("attack", "corruption").version
    GOLDEN.write_text(f'{{\n"version": {version},\n' + ",\n".join(lines) + "\n}\n")
