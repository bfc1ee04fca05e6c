"""Progress beside the results."""

import pytest

from raygrid.errors import UsageError
from raygrid.results.status import read_status, write_status
from raygrid.results.store import LocalStore


def test_the_last_status_is_read(tmp_path):
    store = LocalStore(tmp_path)
    write_status(store, {"done": 1})
    write_status(store, {"done": 2, "of": 3})
    assert read_status(store) == {"done": 2, "of": 3}


def test_says_that_no_run_has_started(tmp_path):
    with pytest.raises(UsageError, match="no run has started there"):
        read_status(LocalStore(tmp_path / "nowhere"))
