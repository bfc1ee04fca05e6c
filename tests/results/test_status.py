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


def test_the_status_of_a_later_version_is_refused(tmp_path):
    store = LocalStore(tmp_path)
    write_status(store, {"done": 1})
    store.put("raygrid.json", b'{"schema_version": 99}')
    with pytest.raises(UsageError, match="schema version 99"):
        read_status(store)
