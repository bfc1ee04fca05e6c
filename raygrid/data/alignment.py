"""Faces brought to one place: the similarity that takes five landmarks onto a template, and the photo seen through it.

The canonical frame is what every face dataset stores and every face victim takes: RGB, 160 x 160, the landmarks of the face as near
as a similarity can bring them to `TEMPLATE`. Points are (right, down) in pixels; the middle of the first pixel is (0, 0). No torch.
"""

from math import floor, hypot

import numpy as np
from PIL import Image
from scipy.ndimage import affine_transform

SIDE = 160
"""Height and width of a canonical frame."""
CROP = 112
"""Height and width of the middle of it, which is what ArcFace's authors call an aligned face."""
MARGIN = (SIDE - CROP) // 2
LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""The landmarks, left and right as seen in the photo."""
ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Where ArcFace (Deng et al., CVPR 2019; code of the authors) puts the landmarks in its crop."""
TEMPLATE = np.array(ARCFACE) + MARGIN
"""Where the landmarks belong in the canonical frame: [5, 2]."""


def similarity(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Return the rotation, scaling and shift that bring points [N, 2] nearest to others [N, 2], in least squares: [2, 3].

    Umeyama (PAMI 1991), without reflections. In the plane, with points as complex numbers, it is a line's fit: z -> a z + b.

    Raises:
        ValueError: the points are one and the same, which any scale would fit.
    """
    z, w = (np.asarray(p, dtype=np.float64) @ (1, 1j) for p in (points, onto))
    z_mean, w_mean = z.mean(), w.mean()
    spread = np.vdot(z - z_mean, z - z_mean).real
    if not spread:
        raise ValueError("the points are all in one place: no similarity can be told from them")
    a = np.vdot(z - z_mean, w - w_mean) / spread
    b = w_mean - a * z_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return where a similarity [2, 3] takes points [N, 2]."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


ALIGNED = "aligned_by"
"""Column of photos that are no frames yet: the similarity [6], row by row, that takes each to its canonical frame."""


def frame(photo: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the canonical frame [3, 160, 160] of the face in a photo [C, H, W], gray or RGB, all uint8.

    Outside of the photo, its edge goes on. A gray photo gives three equal channels.

    Args:
        landmarks: the five of the face, [5, 2].
    """
    seen = warp(photo, similarity(landmarks, TEMPLATE), SIDE)
    return np.broadcast_to(seen, (3, SIDE, SIDE)).copy() if len(seen) == 1 else seen


def warp(photo: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """Return a square [C, side, side] of a photo [C, H, W] moved by a similarity [2, 3], bilinear. Edge pixels go on outside.

    A photo at least twice as fine as the square is averaged over whole blocks first, so that no pixel of it goes unseen.
    """
    finer = floor(1 / hypot(matrix[0, 0], matrix[1, 0]))
    if finer >= 2:
        photo, matrix = coarser(photo, finer), _ofcoarser(matrix, finer)
    # scipy asks where each pixel comes from, and counts down before right.
    back = np.linalg.inv(matrix[:, :2])
    turned, start = back[::-1, ::-1], (back @ -matrix[:, 2])[::-1]
    planes = [
        affine_transform(plane.astype(np.float64), turned, start, (side, side), order=1, mode="nearest")
        for plane in photo
    ]
    x: np.ndarray = np.rint(np.stack(planes)).clip(0, 255).astype(np.uint8)
    return x


def coarser(photo: np.ndarray, blocks: int) -> np.ndarray:
    """Average blocks of blocks x blocks pixels of a photo [C, H, W]; those at the right and lower edge may be smaller."""
    return np.stack([np.asarray(Image.fromarray(plane).reduce(blocks)) for plane in photo])


def _ofcoarser(matrix: np.ndarray, blocks: int) -> np.ndarray:
    """Return the similarity for a photo averaged over blocks: the middle of its first pixel is that of the first block."""
    middle = np.full(2, (blocks - 1) / 2)
    return np.column_stack([matrix[:, :2] * blocks, moved(matrix, middle)])
