"""Checks on what a person says of a victim: its files and its input contract. Imports neither torch nor ray."""

import math
from dataclasses import replace
from pathlib import Path

from raygrid.assets import sha256_of
from raygrid.errors import UsageError
from raygrid.victims.catalog_bring import TaskParams
from raygrid.victims.catalog_faces import FRAME
from raygrid.victims.info import VictimInfo

MOST_CHANNELS_LAST = 4
"""A last dimension of at most so many, behind larger ones, is taken for channels in the wrong place."""
LARGEST_MEAN = 2.0
"""No mean of pixels in [0, 1] is larger; one that is was meant for pixels in 0..255."""


def file_sha256(victim: str, field: str, file: str, expected: str | None = None) -> str:
    """Return the sha256 of a file that a person named.

    Raises:
        UsageError: no such file on this machine, or its sha256 is not the expected one.
    """
    path = Path(file)
    if not path.is_file():
        raise UsageError(
            f'victim "{victim}": {field}: no file {file} on this machine; every host must find it at this path'
        )
    found = sha256_of(path)
    if expected not in {None, found}:
        raise UsageError(f'victim "{victim}": sha256: {file} has {found}, not {expected}')
    return found


def checked(info: VictimInfo) -> VictimInfo:
    """Return the info if its input contract can hold.

    Raises:
        UsageError: every wrong field, all at once: shape, mean, std, classes.
    """
    problems = [*_shape_problems(info.input_shape), *_normalization_problems(info)]
    if info.classes < 2:
        problems.append(f"classes: a classifier has at least 2, not {info.classes}")
    if problems:
        raise UsageError(*(f'victim "{info.id}": {problem}' for problem in problems))
    return info


def resizing(info: VictimInfo) -> VictimInfo:
    """Return the info of a victim that brings any size to its native one, as `resized.py` does.

    Raises:
        UsageError: the native size is no square.
    """
    channels, height, width = info.input_shape
    if height != width:
        raise UsageError(
            f'victim "{info.id}": input: images are resized to a square, not to {height}x{width}; '
            "bring the model with `use: module` for another shape"
        )
    text = f"bilinear, antialiased, to {height}x{width}; untouched at that size"
    return replace(info, input_shape=(channels, None, None), resize=text, native=height or 0)


def for_task(info: VictimInfo, params: TaskParams) -> VictimInfo:
    """Return the info of a classifier as it is, and of a face embedder as of one that takes canonical frames, as `framed.py` does.

    Raises:
        UsageError: an embedder's input is no RGB square, its crop is no part of a frame, or a classifier has words of an embedder.
    """
    if params.task == "classification":
        words = params.model_dump(exclude_defaults=True).keys()  # a resolved job has all defaults written out
        if given := sorted({"similarity", "crop"} & words):
            raise UsageError(f'victim "{info.id}": {given[0]}: only for face embedders; say `task: verification`')
        return info
    channels, height, width = info.input_shape
    if channels != FRAME[0] or height != width:
        raise UsageError(
            f'victim "{info.id}": input: a face embedder takes RGB squares, [3, S, S], not {list(info.input_shape)}'
        )
    left, top, side = frame_crop(params)
    if not (min(left, top) >= 0 and side >= 1 and max(left, top) + side <= FRAME[1]):
        raise UsageError(
            f'victim "{info.id}": crop: [left, top, side] must be a square inside of 0..{FRAME[1]} pixels, '
            f"not {[left, top, side]}"
        )
    text = (
        f"cuts {side:g}x{side:g} at ({left:g}, {top:g}) out of the canonical frame and resizes it to {height}x{height}"
    )
    return replace(info, task="verification", similarity=params.similarity, input_shape=FRAME, resize=text)


def frame_crop(params: TaskParams) -> tuple[float, float, float]:
    """Return left, top and side of what a face embedder takes of a frame, in pixels."""
    return params.crop or (0.0, 0.0, float(FRAME[1]))


def _shape_problems(shape: tuple[int, int | None, int | None]) -> list[str]:
    first, _, last = shape
    if any(size is not None and size < 1 for size in shape):
        return [f"input: channels, height and width are at least 1, not {list(shape)}"]
    if last is not None and last <= MOST_CHANNELS_LAST < first:
        return [f"input: {list(shape)} looks like height, width, channels; channels come first: {[last, *shape[:2]]}"]
    return []


def _normalization_problems(info: VictimInfo) -> list[str]:
    channels = info.input_shape[0]
    problems = [
        f"{field}: {len(values)} values for {channels} channels; give one a channel"
        for field, values in (("mean", info.mean), ("std", info.std))
        if len(values) != channels
    ]
    if any(not math.isfinite(value) or abs(value) > LARGEST_MEAN for value in info.mean):
        problems.append(f"mean: pixels are in [0, 1], so {list(info.mean)} cannot be their mean; divide by 255")
    if any(not math.isfinite(value) or value <= 0 for value in info.std):
        problems.append(f"std: every value must be finite and above 0, not {list(info.std)}")
    return problems
