import pytest
import torch
from models import pixels

from raygrid.constraints import Constraint
from raygrid.medium import PICTURE, read_back, stored

LEVELS = PICTURE.levels
LEVEL = 1 / LEVELS
ROUNDED = [
    # clean, example, levels stored
    (0.0, 0.5 * LEVEL, 0),
    (0.0, 0.9999 * LEVEL, 1),
    (0.0, 0.9995 * LEVEL, 0),
    (100 * LEVEL, 102.9 * LEVEL, 102),
    (100 * LEVEL, 97.1 * LEVEL, 98),
    (100 * LEVEL, 100 * LEVEL, 100),
    (1.0, 254.2 * LEVEL, 255),
    (1.0, 1.0, 255),
    (0.5, 0.5, 127),
]


@pytest.mark.parametrize(("clean", "example", "levels"), ROUNDED)
def test_a_stored_copy_is_rounded_towards_the_clean_input(clean, example, levels):
    assert stored(torch.tensor([example]), torch.tensor([clean])).tolist() == [levels]


@pytest.mark.parametrize("k", [1, 2, 4, 8, 16])
def test_whole_levels_survive_storing(k):
    """x + 8/255 in float32 misses its level by a rounding; it is that level all the same."""
    clean = torch.arange(256, dtype=torch.uint8)
    x = clean.float() / LEVELS
    for sign in (1, -1):
        x_adv = (x + sign * k / LEVELS).clamp(0, 1)
        assert torch.equal(stored(x_adv, x).long(), (clean.long() + sign * k).clamp(0, 255))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99, 0.9999])
def test_what_is_stored_of_clean_inputs_between_levels_keeps_to_eps(share):
    """An example that falls just short of a level is rounded up to it, by less than what a distance may exceed eps by."""
    x, eps = torch.full((1, 1, 1, 1), 100.5 * LEVEL), (0.5 - share * PICTURE.guard) * LEVEL
    copy = stored(x + eps, x)
    assert copy.item() == 101
    assert Constraint("linf", eps).allows(read_back(copy, x), x).all()


def test_a_stored_copy_lies_between_the_clean_input_and_the_example():
    x = (pixels(4, 3, 16, 16) * LEVELS).round() / LEVELS
    x_adv = (x + 0.1 * (pixels(4, 3, 16, 16, seed=1) - 0.5)).clamp(0, 1)
    on_file = stored(x_adv, x).double() / LEVELS
    assert stored(x_adv, x).dtype == torch.uint8
    assert ((on_file - x).abs() <= (x_adv - x).abs() + 1e-5).all()
    assert ((on_file - x) * (x_adv - x) >= -1e-9).all()
    assert torch.equal(stored(x, x).float() / LEVELS, x)
