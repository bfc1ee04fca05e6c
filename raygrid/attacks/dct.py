"""The orthonormal cosine basis of images: most of what a classifier reacts to lies in its low frequencies."""

import math

import torch
from torch import Tensor


def cosines(size: int, like: Tensor) -> Tensor:
    """Return the matrix [size, size] of the orthonormal DCT-II, one frequency a row, in the dtype and on the device of `like`."""
    frequency, place = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * (place + 0.5) * frequency) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.to(like)


def to_frequencies(images: Tensor) -> Tensor:
    """Return the coefficients [..., H, W] of images [..., H, W], low frequencies first; lengths stay as they are."""
    return cosines(images.shape[-2], images) @ images @ cosines(images.shape[-1], images).T


def to_images(coefficients: Tensor) -> Tensor:
    """Return the images [..., H, W] of coefficients [..., H, W]: the inverse of `to_frequencies`."""
    return (
        cosines(coefficients.shape[-2], coefficients).T @ coefficients @ cosines(coefficients.shape[-1], coefficients)
    )
