"""How many hosts are started, and what is said where they can't be placed."""

import pytest

from raygrid.engine.placement import HostOptions, HostWishes, local_resources, place
from raygrid.errors import UsageError

LAPTOP = {"CPU": 8.0}
NODES = {"CPU": 16.0, "GPU": 2.0}
CLUSTER = "head:6379"


@pytest.mark.parametrize(
    ("have", "tasks", "wishes", "expected"),
    [
        (LAPTOP, 99, HostWishes(), HostOptions(8)),
        (LAPTOP, 3, HostWishes(), HostOptions(3)),
        (LAPTOP, 99, HostWishes(cpus=3), HostOptions(2, cpus=3)),
        (LAPTOP, 99, HostWishes(hosts=4, micro_batch=7), HostOptions(4, micro_batch=7)),
        (NODES, 99, HostWishes(CLUSTER), HostOptions(2, 1.0)),
        (NODES, 99, HostWishes(CLUSTER, gpus=0.5), HostOptions(4, 0.5)),
        (NODES, 99, HostWishes(CLUSTER, gpus=1 / 3), HostOptions(6, 1 / 3)),
        (NODES, 99, HostWishes(CLUSTER, gpus=0.4), HostOptions(4, 0.4)),
        (NODES, 99, HostWishes(CLUSTER, gpus=2), HostOptions(1, 2)),
        (NODES, 99, HostWishes(CLUSTER, gpus=0.25, cpus=4), HostOptions(4, 0.25, 4)),
        (NODES, 99, HostWishes(CLUSTER, gpus=0), HostOptions(16)),
        (NODES, 99, HostWishes(CLUSTER, hosts=50), HostOptions(50, 1.0)),
        ({}, 99, HostWishes(CLUSTER, hosts=5, gpus=1), HostOptions(5, 1)),
    ],
)
def test_as_many_hosts_as_fit_and_no_more_than_there_are_tasks(have, tasks, wishes, expected):
    assert place(have, tasks, wishes) == expected


@pytest.mark.parametrize(
    ("have", "wishes", "message"),
    [
        (
            LAPTOP,
            HostWishes(cpus=9),
            r"1 host of 9 CPUs and 0 GPUs can't be placed: this machine has 8 CPUs and 0 GPUs",
        ),
        (LAPTOP, HostWishes(hosts=9), r"9 hosts of 1 CPUs and 0 GPUs can't be placed: this machine.*ask for less$"),
        (LAPTOP, HostWishes(gpus=1), r"1 host of 1 CPUs and 1 GPUs can't be placed"),
        (NODES, HostWishes(CLUSTER, cpus=99), r"the cluster at head:6379 has 16 CPUs and 2 GPUs.*--hosts N"),
        ({}, HostWishes(CLUSTER), r"--hosts N to wait until an autoscaler adds nodes"),
    ],
)
def test_hosts_that_fit_nowhere_are_told(have, wishes, message):
    with pytest.raises(UsageError, match=message):
        place(have, 99, wishes)


def test_this_machine_has_a_cpu():
    assert local_resources()["CPU"] >= 1
