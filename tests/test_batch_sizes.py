"""Sizes that batches are filled up to."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raygrid.batch_sizes import fill, filled_up, samples_of_a_pass


@given(st.integers(1, 5000), st.sampled_from([1, 2, 4, 8]))
def test_little_is_filled_up_and_what_is_full_stays(samples, sizes):
    size = filled_up(samples, sizes)
    assert samples <= size < samples * (1 + 1 / sizes) + 1
    assert filled_up(size, sizes) == size
    assert filled_up(filled_up(samples), sizes) == size  # filled up twice, once finely, is filled up once


@pytest.mark.parametrize(
    ("sizes", "all_of_them"),
    [
        (2, [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]),
        (
            4,
            [
                1,
                2,
                3,
                4,
                5,
                6,
                7,
                8,
                10,
                12,
                14,
                16,
                20,
                24,
                28,
                32,
                40,
                48,
                56,
                64,
                80,
                96,
                112,
                128,
                160,
                192,
                224,
                256,
            ],
        ),
    ],
)
def test_few_sizes_serve_all_batches(sizes, all_of_them):
    assert sorted({filled_up(n, sizes) for n in range(1, 257)}) == all_of_them


def test_what_is_filled_up_is_followed_by_zeros():
    x = torch.ones(3, 2)
    assert fill(x, 3) is x
    assert fill(x, 5).tolist() == [[1, 1], [1, 1], [1, 1], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("shape", "native", "samples"),
    [
        ((3, 224, 224), 0, 8),
        ((1, 28, 28), 0, 1536),
        ((10**8,), 0, 1),
        ((3, 64, 64), 224, 8),
        ((3, 448, 448), 224, 2),
        ((3, 64, 64), 32, 98),
    ],
)
def test_so_many_samples_go_through_a_model_at_once_on_a_cpu(shape, native, samples):
    assert samples_of_a_pass(shape, native) == samples
