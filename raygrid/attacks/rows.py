"""Rows of a tensor by the oracle's positions, without a copy where they are all rows: most steps of most attacks."""

from torch import Tensor


def rows(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows of values [N, ...] at ascending, distinct positions, as `Oracle.active` gives them: values itself if all."""
    return values if len(index) == len(values) else values[index]


def with_rows(values: Tensor, index: Tensor, new: Tensor) -> Tensor:
    """Return values [N, ...] with the rows at these positions replaced by new [B, ...]; `values` may be changed."""
    if len(index) == len(values):
        return new
    values[index] = new
    return values
