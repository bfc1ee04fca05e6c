"""Where universal patches lie. Imports no torch."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from raygrid.attacks.catalog_universal import Patch


def corners(params: Patch, sample_ids: Sequence[str], height: int, width: int) -> list[tuple[int, int]]:
    """Return the upper left corner of a universal patch on each sample: row and column, which follow from its id where random."""
    side = params.side(height, width)
    room = (height - side, width - side)
    if params.place != "random":
        row, column = (
            min(max(round(middle * length - side / 2), 0), most)
            for middle, length, most in zip(params.place, (height, width), room, strict=True)
        )
        return [(row, column)] * len(sample_ids)
    numbers = (np.frombuffer(blake2b(name.encode(), digest_size=16).digest(), "<u8") for name in sample_ids)
    return [(int(down) % (room[0] + 1), int(right) % (room[1] + 1)) for down, right in numbers]
