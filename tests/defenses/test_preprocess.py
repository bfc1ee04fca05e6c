"""What becomes of pictures, against closed forms and other implementations; and that knowing of it helps an attacker."""

from io import BytesIO

import numpy as np
import pytest
import torch
from attacking import attacked, gray, share
from defense_cases import defended, draws, in_color
from models import digits, pixels
from PIL import Image
from scipy.ndimage import median_filter

from raygrid.defenses.preprocess import median
from raygrid.defenses.total_variation import smoothest


@pytest.mark.parametrize("size", [2, 3, 4, 5, 9])
def test_the_median_is_scipys(size):
    x = pixels(3, 2, 7, 8)
    wanted = [[median_filter(channel, size, mode="nearest") for channel in picture] for picture in x.numpy()]
    assert torch.equal(median(x, size), torch.tensor(np.array(wanted)))


def test_a_lone_speck_does_not_outlive_the_median():
    x = torch.full((1, 1, 5, 5), 0.25)
    x[0, 0, 2, 3] = 1
    assert torch.equal(median(x, 3), torch.full((1, 1, 5, 5), 0.25))


@pytest.mark.parametrize(("chroma", "subsampling"), [("4:2:0", 2), ("4:2:2", 1), ("4:4:4", 0)])
def test_jpeg_is_that_of_a_file(chroma, subsampling):
    bare, x = in_color()
    seen = defended("jpeg", bare, quality=40, chroma=chroma).before(x, draws(["a"] * 6))
    for picture, told in zip(x, seen, strict=True):
        file = BytesIO()
        levels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(levels).save(file, "JPEG", quality=40, subsampling=subsampling)
        assert np.array_equal((told * 255).round().byte().permute(1, 2, 0).numpy(), np.asarray(Image.open(file)))


def test_worse_jpeg_is_farther_from_the_picture():
    bare, x = in_color()
    distances = [
        float((defended("jpeg", bare, quality=quality, chroma="4:4:4").before(x, draws(["a"] * 6)) - x).norm())
        for quality in (100, 75, 30, 5)
    ]
    assert distances == sorted(distances) and distances[0] < 0.5 < distances[-1]


@pytest.mark.parametrize("bits", range(1, 9))
def test_so_many_bits_have_so_many_levels_none_farther_than_half_a_level(bits):
    x = torch.linspace(0, 1, 10_001).view(1, 1, 1, -1)
    seen = defended("bit-depth", bits=bits).before(x, draws(["a"]))
    assert len(seen.unique()) == 2**bits
    assert (seen - x).abs().max() <= 0.5 / (2**bits - 1) + 1e-6


@pytest.mark.parametrize(("weight", "wanted"), [(0.1, (0.1, 0.9)), (0.3, (0.3, 0.7)), (0.6, (0.5, 0.5))])
def test_two_pixels_approach_each_other_by_the_weight_until_they_meet(weight, wanted):
    x = gray([[0.0, 1.0]])
    assert torch.allclose(smoothest(x, torch.ones_like(x), weight, 300), gray([list(wanted)]), atol=1e-4)


def test_what_was_dropped_is_filled_in_from_its_neighbors():
    x = torch.full((1, 1, 6, 6), 0.6)
    x[0, 0, 2:4, 2:4] = 0.0
    kept = (x > 0).float()
    assert torch.allclose(smoothest(x, kept, 0.03, 1000), torch.full_like(x, 0.6), atol=1e-2)


def test_the_smoothest_picture_costs_no_more_than_others_near_it():
    x, kept = pixels(2, 1, 8, 8), (pixels(2, 1, 8, 8, seed=1) > 0.4).float()

    def cost(z):
        down, right = torch.zeros_like(z), torch.zeros_like(z)
        down[:, :, :-1], right[..., :-1] = z[:, :, 1:] - z[:, :, :-1], z[..., 1:] - z[..., :-1]
        data, variation = (kept * (z - x)).square() / 2, (down.square() + right.square()).sqrt()
        return (data + 0.1 * variation).flatten(1).sum(1)

    best = smoothest(x, kept, 0.1, 1000)
    for seed in range(20):
        for size in (0.01, 0.1):
            assert (cost(best) <= cost(best + size * (pixels(2, 1, 8, 8, seed=seed) - 0.5)) + 1e-4).all()
    assert (cost(best) < cost(x)).all()


def test_resized_pictures_have_every_allowed_size_and_place():
    x = torch.ones(200, 1, 10, 10)
    seen = defended("resize-pad", least=0.8).before(x, draws([str(i) for i in range(200)]))
    found = set()
    for picture in seen[:, 0]:
        rows, columns = (picture.sum(1 - axis).nonzero()[:, 0] for axis in (0, 1))
        assert torch.equal(picture.nonzero(), torch.cartesian_prod(rows, columns))
        assert len(rows) == len(columns)
        found.add((len(rows), int(rows[0]), int(columns[0])))
    places = [(size, top, left) for size in (8, 9, 10) for top in range(11 - size) for left in range(11 - size)]
    assert found == set(places)


FIGURES = [  # defense, its parameters, what the attacker who knows of it breaks at least, and more than who does not by
    ("jpeg", {"quality": 50}, 0.9, 0.0),
    ("bit-depth", {"bits": 3}, 0.9, 0.0),
    ("median", {"size": 3}, 0.85, 0.0),
    ("resize-pad", {"least": 0.8}, 0.85, 0.1),
    ("total-variation", {"weight": 0.1, "drop": 0.0, "steps": 40}, 0.65, 0.2),
]


@pytest.mark.parametrize(("name", "params", "at_least", "by"), FIGURES)
def test_whoever_knows_of_it_breaks_nearly_what_breaks_without(name, params, at_least, by):
    """The bare victim loses 98 % at this eps."""
    eot = 5 if name == "resize-pad" else None
    aware = share(attacked(name, params, eps=0.15, steps=15, eot=eot))
    unaware = share(attacked(name, params, eps=0.15, steps=15, awareness="none"))
    assert aware >= at_least
    assert aware >= unaware + by


def test_rounding_gives_the_gradient_of_what_was_rounded():
    x, _ = digits(2)
    model = defended("bit-depth", bits=1)
    x = x.requires_grad_()
    seen = model.softly_before(x, draws(["a", "b"]))
    assert torch.equal(seen, (x > 0.5).float())
    (3 * seen).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 3.0))
