"""What errors cost, as a grid says it: a matrix or a few of its cells, checked against the data."""

import pytest

from raygrid.costs import Cost, read_costs
from raygrid.errors import UsageError

NAMES = ("stop", "yield", "speed-30")


def test_a_matrix_gives_each_error_its_cost():
    assert read_costs("c", [[0, 1, 9], [2, 0, 3], [1, 1, 0]], 3, NAMES)[:2] == [
        Cost("0", "1", 1.0),
        Cost("0", "2", 9.0),
    ]


def test_a_mapping_names_classes_or_numbers_them():
    said = {"stop": {"speed-30": 100}, "1": {"0": 5}}
    assert read_costs("c", said, 3, NAMES) == [Cost("0", "2", 100.0), Cost("1", "0", 5.0)]


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ([[0, 1], [1, 0]], "the matrix is 2x2, and the data has 3 classes"),
        ([[0, 1, 1], [1, 0], [1, 1, 0]], "the matrix is 3x2/3, and the data has 3 classes"),
        ([[1, 1, 1], [1, 0, 1], [1, 1, 0]], "the right answer to class 0 costs 1; it must cost 0"),
        ([[0, -1, 1], [1, 0, 1], [1, 1, 0]], "the cost of 1 for 0 is below 0"),
        ({"stopp": {"yield": 3}}, 'the data has no class "stopp"; did you mean "stop"?'),
        ({"stop": {"speed": 3}}, 'the data has no class "speed"'),
        ({"stop": {"yield": -3}}, "the cost of yield for stop is below 0"),
        ({"stop": {"0": 3}}, "the right answer to class stop costs 3; it must cost 0"),
    ],
)
def test_what_is_no_cost_matrix_of_the_data_is_told(said, wrong):
    with pytest.raises(UsageError) as told:
        read_costs("grids.g.costs", said, 3, NAMES)
    assert len(told.value.messages) == 1
    assert told.value.messages[0].startswith(f"grids.g.costs: {wrong}")
