"""Write `photo_tiles.csv`: `python -m raygrid.data.make_tiles`, some eight minutes on two cores.

Cuts candidate squares out of every packaged photo, keeps those to which EfficientNet-Lite0, 1 and 2 give the same class, and of
those the ones that overlap little. The only module of raygrid.data that runs nets.
"""

from collections.abc import Callable, Iterable, Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor

from raygrid.component import resolve
from raygrid.data.catalog import TilesParams
from raygrid.data.pins import PHOTOS
from raygrid.data.tiles import Box, Tile, crops, read_photos, write_tiles
from raygrid.registry import find

NETS = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
SHARES = (1.0, 0.75, 0.55, 0.4, 0.3)
"""Sides of the candidates, as shares of the photo's shorter side."""
STEP = 0.5
"""Largest step between candidates of one size, as a share of their side."""
SMALLEST = 112
"""Pixels of the shortest side: a smaller crop would be blown up more than twice."""
LARGEST_OVERLAP = 0.4
"""Largest intersection over union of two tiles of one photo: half-shifted neighbors of one size have a third."""
BATCH = 32

Net = Callable[[Tensor], Tensor]


def main() -> None:
    """Write the list anew."""
    nets = load_nets()
    tiles: list[Tile] = []
    for name, photo in read_photos(asset.name for asset in PHOTOS).items():
        boxes = candidates(*photo.size)
        labels, confidence = agreement(nets, crops(photo, boxes, TilesParams().size))
        tiles += apart(
            Tile(name, *box, int(label), round(float(sure), 3))
            for box, label, sure in zip(boxes, labels, confidence, strict=True)
            if label >= 0
        )
    write_tiles(tiles)


def load_nets() -> list[Net]:
    """Return the three nets that vote: pixels [B, 3, H, W] in [0, 1] -> logits [B, 1000]."""
    nets = []
    for component in (find("victim", name) for name in NETS):
        params = component.params()
        nets.append(resolve(component.build)(params, resolve(component.identify or "")(params, component.name)))
    return nets


def candidates(width: int, height: int) -> list[Box]:
    """Return the squares to try in a photo of this size: rows of each size, the largest size first."""
    sides = [round(min(width, height) * share) for share in SHARES]
    return [
        (left, top, side)
        for side in sides
        if side >= SMALLEST
        for top in _starts(height, side)
        for left in _starts(width, side)
    ]


def _starts(length: int, side: int) -> list[int]:
    """Spread squares evenly from edge to edge; one alone stands in the middle."""
    steps = ceil((length - side) / (side * STEP))
    return [round(step * (length - side) / steps) for step in range(steps + 1)] if steps else [0]


def agreement(nets: Sequence[Net], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let the nets vote on crops x [N, 3, H, W] uint8.

    Returns:
        Labels [N], -1 where the nets differ, and the probability [N] that the least sure net gives to its answer.
    """
    with torch.no_grad():
        batches = [torch.from_numpy(x[i : i + BATCH]).float() / 255 for i in range(0, len(x), BATCH)]
        votes = [torch.stack([net(batch).softmax(1) for net in nets]).max(2) for batch in batches]
    answers = torch.cat([vote.indices for vote in votes], dim=1)
    labels = torch.where((answers == answers[0]).all(0), answers[0], -1)
    return labels.numpy(), torch.cat([vote.values for vote in votes], dim=1).amin(0).numpy()


def apart(tiles: Iterable[Tile]) -> list[Tile]:
    """Keep tiles of one photo that overlap little with those before."""
    kept: list[Tile] = []
    for tile in tiles:
        if all(overlap(tile.box, other.box) <= LARGEST_OVERLAP for other in kept):
            kept.append(tile)
    return kept


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two squares."""
    sides = [max(0, min(a[i] + a[2], b[i] + b[2]) - max(a[i], b[i])) for i in (0, 1)]
    shared = sides[0] * sides[1]
    return shared / (a[2] ** 2 + b[2] ** 2 - shared)


if __name__ == "__main__":
    main()
