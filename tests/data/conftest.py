"""How the tests build data: as a job would, from names and plain values, held to the contract."""

import pytest

from raygrid.component import resolve
from raygrid.data.check import check
from raygrid.registry import find, parse


@pytest.fixture
def build():
    def build_and_check(use, /, limit=None, **values):
        component = find("data", use)
        dataset = resolve(component.build)(parse(component, values), limit)
        check(dataset)
        return dataset

    return build_and_check
