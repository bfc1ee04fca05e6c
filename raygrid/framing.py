"""The canonical frames of faces as a differentiable function of their photos: for attacks that change the photo, and not the frame.

What `data/alignment.py` does once to a dataset, on arrays, is done here to every example, between it and the victim. The landmarks
stay those of the clean photo.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
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
    """

    matrices: Tensor

    def take(self, where: Sequence[int]) -> "Framing":
        """Return that of the photos at these positions."""
        return Framing(self.matrices[list(where)])

    def __call__(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the frames [B, 3, 160, 160] of photos x [B, 1 or 3, H, W], those at the positions `index`: bilinear, the edge
        continued outside; of a photo at least twice as fine as its frame, averages over whole blocks are seen."""
        matrices = self.matrices[index.cpu()]
        groups: dict[int, list[int]] = defaultdict(list)
        for row, (cos, sin) in enumerate(matrices[:, :, 0].tolist()):
            groups[max(floor(1 / hypot(cos, sin)), 1)].append(row)
        if len(groups) == 1:
            return _framed(x, matrices, next(iter(groups)))
        parts = {blocks: torch.tensor(rows, device=x.device) for blocks, rows in groups.items()}
        frames = [_framed(x[rows], matrices[rows.cpu()], blocks) for blocks, rows in parts.items()]
        return torch.cat(frames)[torch.cat(list(parts.values())).argsort()]


def _framed(x: Tensor, matrices: Tensor, blocks: int) -> Tensor:
    turn, start = matrices[:, :, :2], matrices[:, :, 2]
    if blocks > 1:
        x = avg_pool2d(x, blocks, ceil_mode=True, count_include_pad=False)
        # The middle of the first pixel is that of the first block.
        turn, start = turn * blocks, start + turn.sum(2) * (blocks - 1) / 2
    places = torch.arange(SIDE, dtype=torch.float64)
    frame = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).view(-1, 2)
    photo = (frame - start[:, None]) @ torch.linalg.inv(turn).transpose(1, 2)  # [B, 160 * 160, 2]: right, down
    size = torch.tensor([x.shape[3] - 1, x.shape[2] - 1], dtype=torch.float64)
    grid = (2 * photo / size - 1).view(-1, SIDE, SIDE, 2).to(x)
    seen = grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)
    seen = seen + (seen.clamp(0, 1) - seen).detach()  # weights sum to 1 but for rounding
    return seen.expand(-1, 3, -1, -1)
