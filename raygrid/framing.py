"""The canonical frames of faces as a differentiable function of their photos: for attacks that change the photo, and not the frame.

What `data/alignment.py` does once to a dataset, on arrays, is done here to every example, between it and the victim. The landmarks
stay those of the clean photo.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import floor, hypot

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from raygrid.data.alignment import SIDE


@dataclass(frozen=True)
class Framing:
    """Where each of N photos lies in its frame.

    Attributes:
        matrices: similarities from the pixels of a photo to those of its frame, [N, 2, 3], float64.
        size: height and width of the photos.
    """

    matrices: Tensor
    size: tuple[int, int]

    def take(self, where: Sequence[int]) -> "Framing":
        """Return that of the photos at these positions."""
        return Framing(self.matrices[list(where)], self.size)

    def __call__(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the frames [B, 3, 160, 160] of photos x [B, 1 or 3, H, W], those at the positions `index`: bilinear, the edge
        continued outside; of a photo at least twice as fine as its frame, averages over whole blocks are seen."""
        grids = self.grids.to(x)[index]
        rows: dict[int, list[int]] = defaultdict(list)
        for row, i in enumerate(index.tolist()):
            rows[self.blocks[i]].append(row)
        if len(rows) <= 1:
            return _seen(x, grids, next(iter(rows), 1))
        parts = [torch.tensor(some, device=x.device) for some in rows.values()]
        frames = [_seen(x[part], grids[part], blocks) for part, blocks in zip(parts, rows, strict=True)]
        return torch.cat(frames)[torch.cat(parts).argsort()]

    @cached_property
    def blocks(self) -> list[int]:
        """How many pixels of each photo, down and right, are averaged."""
        return [max(floor(1 / hypot(*column)), 1) for column in self.matrices[:, :, 0].tolist()]

    @cached_property
    def grids(self) -> Tensor:
        """Where each pixel of a frame lies in its photo [N, 160, 160, 2]: right and down, from -1 to 1 between the middles of the
        outer pixels, or blocks."""
        blocks = torch.tensor(self.blocks, dtype=torch.float64)[:, None, None]
        turn, start = self.matrices[:, :, :2], self.matrices[:, :, 2]
        start = start + turn.sum(2) * (blocks[:, 0] - 1) / 2  # the middle of the first pixel is that of the first block
        places = torch.arange(SIDE, dtype=torch.float64)
        frame = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).view(-1, 2)
        photo = (frame - start[:, None]) @ torch.linalg.inv(turn * blocks).transpose(1, 2)
        counts = (torch.tensor(self.size[::-1], dtype=torch.float64) / blocks).ceil()
        grids: Tensor = 2 * photo / (counts - 1) - 1
        return grids.view(-1, SIDE, SIDE, 2).float()


def _seen(x: Tensor, grids: Tensor, blocks: int) -> Tensor:
    if blocks > 1:
        x = avg_pool2d(x, blocks, ceil_mode=True, count_include_pad=False)
    seen = grid_sample(x, grids, mode="bilinear", padding_mode="border", align_corners=True)
    seen = seen + (seen.clamp(0, 1) - seen).detach()  # weights sum to 1 but for rounding
    return seen.expand(-1, 3, -1, -1)
