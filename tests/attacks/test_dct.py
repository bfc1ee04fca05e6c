"""The cosine basis is orthonormal, undone by its inverse, and sorted by frequency."""

import math

import pytest
import torch
from models import numbers

from raygrid.attacks.dct import cosines, to_frequencies, to_images


@pytest.mark.parametrize("size", [1, 2, 7, 28])
def test_rows_are_orthonormal(size):
    rows = cosines(size, torch.empty(0, dtype=torch.float64))
    assert torch.allclose(rows @ rows.T, torch.eye(size, dtype=torch.float64), atol=1e-12)


def test_the_inverse_undoes_it_and_lengths_stay():
    images = numbers(2, 3, 8, 5)
    frequencies = to_frequencies(images)
    assert torch.allclose(to_images(frequencies), images, atol=1e-5)
    assert torch.allclose(frequencies.norm(), images.norm(), rtol=1e-5)


def test_a_wave_is_one_coefficient():
    """Row k of the basis is a cosine of k half periods."""
    wave = torch.cos(math.pi * 3 * (torch.arange(16) + 0.5) / 16)[:, None].expand(16, 10)
    frequencies = to_frequencies(wave)
    assert frequencies.abs().argmax() == 3 * 10
    assert (frequencies.abs() > 1e-4).sum() == 1
