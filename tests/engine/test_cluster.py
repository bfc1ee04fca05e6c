"""Connecting to a Ray that is not there."""

import pytest

from raygrid.engine.cluster import connected
from raygrid.errors import UsageError


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no.such.host.invalid:6379", "127.0.0.1:99999", "nonsense"])
def test_an_address_where_no_cluster_answers_is_told_at_once(address):
    with pytest.raises(UsageError, match=f"--address {address}: no Ray cluster answers there"), connected(address):
        pass
