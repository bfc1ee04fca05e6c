"""Which pixels of its samples an attack may change: squares, disks, parts of drawn signs and of faces, the places of patches."""

from collections.abc import Sequence

import torch
from torch import Tensor

from raygrid.attacks.catalog_patch import Insects, Sticker
from raygrid.attacks.catalog_universal import Patch
from raygrid.attacks.corners import corners
from raygrid.data.face_parts import face_mask
from raygrid.data.signs import Part, sign_mask


def sticker_mask(params: Sticker, sample_ids: Sequence[str], shape: tuple[int, int, int]) -> Tensor:
    """Return where a sticker lies: bool [N, 1, H, W], pixels whose middle is inside.

    Args:
        params: of the sticker.
        sample_ids: the N samples; masks on signs follow from their ids, and those on faces lie where they do on every frame.
        shape: C, H, W of the samples.

    Raises:
        ValueError: a mask on signs for samples that are not square, or not of `road-signs`; a sign too small for any pixel.
    """
    _, height, width = shape
    match params.mask:
        case "bars" | "face" as part:
            return _on_signs(sample_ids, shape, part)
        case "glasses" | "forehead" | "mask" as worn:
            mask = torch.from_numpy(face_mask(worn))
        case "square" | "disk":
            mask = patch_mask(params, height, width)
    return mask.expand(len(sample_ids), 1, height, width)


def insect_mask(params: Insects, sample_ids: Sequence[str], shape: tuple[int, int, int]) -> Tensor:
    """Return where an insect may sit: bool [N, 1, H, W]; arguments and errors as for `sticker_mask`."""
    if params.within == "face":
        return _on_signs(sample_ids, shape, "face")
    return torch.ones(len(sample_ids), 1, *shape[1:], dtype=torch.bool)


def _on_signs(sample_ids: Sequence[str], shape: tuple[int, int, int], part: Part) -> Tensor:
    _, height, width = shape
    if height != width:
        raise ValueError(f"samples of road-signs are square, not {height}x{width}")
    masks = torch.from_numpy(sign_mask(sample_ids, height, part))
    for sample_id, mask in zip(sample_ids, masks, strict=True):
        if not mask.any():
            raise ValueError(f"no pixel of sample {sample_id} lies on its {part}; draw the signs larger")
    return masks


def universal_patch_mask(params: Patch, sample_ids: Sequence[str], shape: tuple[int, int, int]) -> Tensor:
    """Return where a universal patch lies: bool [N, 1, H, W]; arguments as for `sticker_mask`."""
    _, height, width = shape
    side, mask = params.side(height, width), torch.zeros(len(sample_ids), 1, height, width, dtype=torch.bool)
    for i, (row, column) in enumerate(corners(params, sample_ids, height, width)):
        mask[i, :, row : row + side, column : column + side] = True
    return mask


def patch_mask(params: Sticker, height: int, width: int) -> Tensor:
    """Return a square or disk at its place: bool [H, W]."""
    reach = params.radius(height, width)
    down, right = (
        (torch.arange(side) + 0.5 - middle * side).abs()
        for middle, side in zip(params.place, (height, width), strict=True)
    )
    if params.mask == "square":
        return (down[:, None] <= reach) & (right <= reach)
    return down[:, None].square() + right.square() <= reach**2
