"""What the tests of the results share."""

import pytest
from small_folder import Folder

from raygrid.results.folder import prepare
from raygrid.results.store import LocalStore


@pytest.fixture
def folder(tmp_path):
    store = LocalStore(tmp_path / "results")
    prepare(store)
    return Folder(store)
