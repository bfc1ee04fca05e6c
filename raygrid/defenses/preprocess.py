"""What is done to a picture before the victim sees it: JPEG, bit depth, median, and random resizing with padding.

Total variation minimization has a file of its own.
"""

import math
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad

from raygrid.defenses.bpda import as_if_identity
from raygrid.defenses.catalog_preprocess import BitDepth, Jpeg, Median, ResizePad
from raygrid.defenses.defended import Defended
from raygrid.errors import UsageError
from raygrid.randomness import Draws
from raygrid.victims.victim import Victim


class ThroughJpeg(Defended):
    """A victim that sees pictures out of JPEG files: of 8 bits, compressed (Das et al., KDD 2018).

    The stand-in gradient is that of the identity: cosine transforms are orthogonal, and quantization rounds.

    Raises:
        UsageError: the victim's pictures are neither gray nor of three colors.
    """

    def __init__(self, params: Jpeg, victim: Victim) -> None:
        super().__init__(victim)
        self.params = params
        channels = victim.info.input_shape[0]
        if channels not in (1, 3):
            raise UsageError(
                f'defense "jpeg": victim "{victim.info.id}" takes {channels} channels; a JPEG file holds 1 or 3'
            )

    def before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return x [B, C, H, W] as the files give it back."""
        levels = (x.detach().clamp(0, 1) * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
        seen = np.stack([self._filed(picture) for picture in levels])
        return torch.from_numpy(seen).permute(0, 3, 1, 2).to(x) / 255

    def softly_before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the same, with the gradient of the identity."""
        return as_if_identity(x, self.before(x, draws))

    def _filed(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture [H, W, C] of bytes out of the file that it was put into."""
        file = BytesIO()
        gray = picture.shape[2] == 1
        chosen = {} if gray else {"subsampling": self.params.chroma}
        Image.fromarray(picture[:, :, 0] if gray else picture).save(file, "JPEG", quality=self.params.quality, **chosen)
        return np.asarray(Image.open(file)).reshape(picture.shape)


class Rounded(Defended):
    """A victim that sees fewer levels of brightness (Xu et al., NDSS 2018)."""

    def __init__(self, params: BitDepth, victim: Victim) -> None:
        super().__init__(victim)
        self.bits = params.bits

    def before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return x [B, C, H, W] rounded to 2^bits levels in [0, 1]."""
        return to_bits(x, self.bits)

    def softly_before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the same, with the gradient of the identity."""
        return as_if_identity(x, to_bits(x.detach(), self.bits))


def to_bits(x: Tensor, bits: int) -> Tensor:
    """Return x [B, C, H, W], cut to [0, 1], rounded to 2^bits levels."""
    most = (1 << bits) - 1
    return (x.clamp(0, 1) * most).round() / most


class Smoothed(Defended):
    """A victim that sees the median of each value's neighborhood (Xu et al., NDSS 2018), which has a gradient of its own."""

    def __init__(self, params: Median, victim: Victim) -> None:
        super().__init__(victim)
        self.size = params.size

    def before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the medians [B, C, H, W] of x."""
        return median(x, self.size)


def median(x: Tensor, size: int) -> Tensor:
    """Return the medians [B, C, H, W] of windows of size x size pixels of x, the edge continued outside."""
    if size == 1:
        return x
    first, last = size // 2, (size - 1) // 2
    windows = pad(x, (first, last, first, last), mode="replicate").unfold(2, size, 1).unfold(3, size, 1)
    values: Tensor = windows.flatten(4).kthvalue(size * size // 2 + 1, dim=4).values
    return values


class ResizedAndPadded(Defended):
    """A victim that sees the picture made smaller, by a factor and at a place drawn at each look (Xie et al., ICLR 2018).

    There, the canvas is larger than the picture, and the victim takes both; here it has the picture's size, since most victims
    take one size only. Resizing is bilinear, there nearest neighbor.
    """

    def __init__(self, params: ResizePad, victim: Victim) -> None:
        super().__init__(victim, random=params.draws_at_random())
        self.least = params.least

    def before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return x [B, C, H, W], each picture smaller, on a canvas of the old size, 0 outside."""
        if self.least == 1:
            return x
        u = draws.uniform("resize", x.new_empty(len(x), 3), 1)[:, 0].tolist()
        return torch.stack([self._placed(picture, *numbers) for picture, numbers in zip(x, u, strict=True)])

    def _placed(self, picture: Tensor, size: float, down: float, right: float) -> Tensor:
        """Place a picture [C, H, W]; the numbers are in [0, 1)."""
        height, width = picture.shape[1:]
        least = math.ceil(self.least * height)
        rows = least + int(size * (height - least + 1))
        columns = max(1, round(width * rows / height))
        top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
        if rows < height:
            picture = interpolate(picture[None], (rows, columns), mode="bilinear", align_corners=False)[0]
        return pad(picture, (left, width - columns - left, top, height - rows - top))
