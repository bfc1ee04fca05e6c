"""Image files and arrays to pixels [C, H, W]. Imports no torch."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from raygrid.errors import UsageError

MODES = {1: "L", 3: "RGB"}
DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes of Pillow with more than 8 bits a channel, whose conversion to 8 bits would clip."""

Layout = Literal["NCHW", "NHWC"]


def open_image(source: Path | bytes, where: str) -> Image.Image:
    """Decode an image file, or its bytes.

    Args:
        where: what an error calls the image: its file, or its row.

    Raises:
        UsageError: not an image, or truncated.
    """
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            image.load()
            return image
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # all that Pillow's decoders raise
        reason = "is not an image" if "cannot identify" in str(error) else f"cannot be read ({error})"
        raise UsageError(f"{where}: {reason}; replace or remove it") from error


def to_pixels(
    image: Image.Image, where: str, *, channels: int = 3, size: int | None = None, crop: float = 1.0
) -> np.ndarray:
    """Return uint8 [C, H, W]: RGB or gray, and where `size` is given a central square of it.

    Raises:
        UsageError: the image has more than 8 bits a channel.
    """
    if image.mode in DEEP_MODES:
        raise UsageError(
            f"{where}: more than 8 bits a channel (mode {image.mode}); save it with 8, or as floats in [0, 1]"
        )
    image = image.convert(MODES[channels])
    x = np.asarray(central_square(image, size, crop) if size else image)
    return x[None] if x.ndim == 2 else x.transpose(2, 0, 1)


def central_square(image: Image.Image, size: int, crop: float = 1.0) -> Image.Image:
    """Keep the central square whose side is `crop` of the shorter side, resized to size x size."""
    side = round(min(image.size) * crop)
    left, top = ((length - side) // 2 for length in image.size)
    return cut(image, (left, top, side), size)


def cut(image: Image.Image, box: tuple[int, int, int], size: int) -> Image.Image:
    """Keep a square (left, top, side), resized to size x size: bicubic, antialiased, nothing outside the square seen."""
    left, top, side = box
    return image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BICUBIC)


def stack(images: Sequence[np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Stack pixels of one shape to [N, C, H, W]; for no images [0, 1, 1, 1].

    Raises:
        UsageError: they differ in size; two that do are named.
    """
    if not images:
        return np.empty((0, 1, 1, 1), dtype=np.uint8)
    for x, name in zip(images, names, strict=True):
        if x.shape != images[0].shape:
            raise UsageError(
                f"size: images differ: {names[0]} is {_extent(images[0])}, {name} is {_extent(x)}; "
                "state `size` (224, say) to bring them to one"
            )
    return np.stack(images)


def _extent(x: np.ndarray) -> str:
    return f"{x.shape[-1]} x {x.shape[-2]}"


def channels_first(x: np.ndarray, layout: Layout | None, where: str) -> np.ndarray:
    """Bring arrays [N, H, W], [N, C, H, W] or [N, H, W, C] of uint8 or floats to [N, C, H, W] of uint8 or float32.

    Args:
        layout: what the axes are; where None the shape must tell: one of the two has 1 or 3 channels.

    Raises:
        UsageError: other types, other axes, or a layout that cannot be told.
    """
    if x.dtype != np.uint8 and x.dtype.kind != "f":
        raise UsageError(f"{where} holds {x.dtype}; store uint8, or floats in [0, 1]")
    if x.ndim == 3:
        x, layout = x[:, None], "NCHW"
    if x.ndim != 4 or 0 in x.shape[1:]:
        raise UsageError(f"{where} has the shape {x.shape}; images are [N, C, H, W], [N, H, W, C] or, gray, [N, H, W]")
    x = x if (layout or _guess(x.shape, where)) == "NCHW" else x.transpose(0, 3, 1, 2)
    return x if x.dtype == np.uint8 else x.astype(np.float32, copy=False)


def _guess(shape: tuple[int, ...], where: str) -> Layout:
    first, last = shape[1] in MODES, shape[3] in MODES
    if first == last:
        raise UsageError(
            f"{where} has the shape {shape}: channels first or last? State `layout: NCHW` or `layout: NHWC`"
        )
    return "NCHW" if first else "NHWC"
