"""Labels as people bring them: to int64, to a number of classes, and into an order that makes small limits useful."""

from collections.abc import Sequence

import numpy as np

from raygrid.errors import UsageError, did_you_mean


def integer_labels(values: np.ndarray, field: str) -> np.ndarray:
    """Return labels [N] as int64.

    Raises:
        UsageError: not one integer a sample. Whole numbers stored as floats count as integers.
    """
    if values.ndim != 1:
        raise UsageError(
            f"{field}: labels must be one integer a sample, not an array of shape {values.shape}{_one_hot(values)}"
        )
    if values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and not (values % 1 == 0).all()):
        odd = values[~(values % 1 == 0)][0] if values.dtype.kind == "f" else values[0] if len(values) else None
        raise UsageError(f"{field}: labels must be integers that count from 0, not {values.dtype} such as {odd!r}")
    return values.astype(np.int64)


def _one_hot(values: np.ndarray) -> str:
    return "; one-hot rows become labels by argmax(axis=1)" if values.ndim == 2 and values.shape[1] > 1 else ""


def named_labels(values: Sequence[str], class_names: Sequence[str], field: str) -> np.ndarray:
    """Return the place of each label in `class_names`, as int64 [N].

    Raises:
        UsageError: no names are given, or a label is not among them.
    """
    if not class_names and len(values):
        raise UsageError(
            f"{field}: labels are text ({values[0]!r}); state class_names in the order of the victim's outputs"
        )
    places = {name: place for place, name in enumerate(class_names)}
    if unknown := [value for value in values if value not in places]:
        hint = did_you_mean(unknown[0], class_names)
        raise UsageError(f'{field}: the label "{unknown[0]}" is not in class_names{hint}')
    return np.array([places[value] for value in values], dtype=np.int64)


def count_classes(largest: int, classes: int | None, class_names: Sequence[str]) -> int:
    """Return the number of classes: as stated, else as many as there are names, else the largest label + 1."""
    return classes or len(class_names) or largest + 1


def interleave(groups: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return the order [N] that takes the first of each group, then the second of each, and so on; groups in sorted order."""
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    by_group = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[by_group], codes)
    place = np.empty(len(codes), dtype=np.int64)
    place[by_group] = np.arange(len(codes))
    return np.lexsort((codes, place - starts))
