"""What embedders take of a canonical frame, against torch's own resampling and against what stands in the frame."""

import numpy as np
import pytest
import torch
from models import pixels
from torch.nn.functional import interpolate

from raygrid.data.alignment import ARCFACE, TEMPLATE
from raygrid.victims.dlib_resnet import CHIP, chip_landmarks
from raygrid.victims.face_crops import ARCFACE_BOX, Box, Crop, fitted, square


def ramp() -> torch.Tensor:
    """A frame whose first channel says how far right a pixel is, the second how far down, in pixels."""
    at = torch.arange(160.0)
    return torch.stack([at.expand(160, 160), at[:, None].expand(160, 160)])[None]


def test_arcface_s_crop_is_the_middle_of_the_frame_untouched():
    x = pixels(2, 3, 160, 160)
    assert torch.equal(Crop(ARCFACE_BOX)(x), x[:, :, 24:136, 24:136])
    assert fitted(ARCFACE, 112) == pytest.approx(ARCFACE_BOX)


def test_a_box_is_sampled_where_it_says():
    box = Box(20.25, 31.5, 0.7, 100)
    right, down = Crop(box)(ramp())[0]
    at = torch.arange(100.0)
    assert torch.allclose(right, (20.25 + 0.7 * at).expand(100, 100), atol=1e-4)
    assert torch.allclose(down, (31.5 + 0.7 * at)[:, None].expand(100, 100), atol=1e-4)


def test_edge_pixels_go_on_outside_of_the_frame():
    x = pixels(1, 1, 160, 160)
    wide = Crop(Box(-10.0, -10.0, 1.0, 180))(x)
    assert torch.equal(wide, torch.nn.functional.pad(x, (10, 10, 10, 10), mode="replicate"))


@pytest.mark.parametrize("size", [112, 150, 224])
def test_the_whole_frame_is_resized_as_torch_resizes(size):
    x = pixels(2, 3, 160, 160)
    expected = interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
    assert torch.allclose(Crop(square(0, 0, 160, size))(x), expected, atol=1e-4)


def test_dlib_s_chip_has_the_landmarks_of_its_mean_face_within_five_pixels():
    left, top, step, _ = fitted(chip_landmarks(), CHIP)
    found = (TEMPLATE - (left, top)) / step
    gaps = np.linalg.norm(found - np.array(chip_landmarks()), axis=1)
    assert gaps.max() < 5 and np.allclose((found - chip_landmarks()).mean(0), 0, atol=1e-9)
    # Nothing outside of the frame is needed.
    assert min(left, top) >= 0 and max(left, top) + step * (CHIP - 1) <= 159
