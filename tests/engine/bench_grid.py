"""What planning a large job costs: `python -m tests.engine.bench_grid [UNITS]`. Run by hand; the limits stand in the issue.

A million units (a thousand cells over a thousand shards) are to be expanded and keyed within 30 s and 1 GB.
"""

import resource
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

from raygrid.engine.progress import Progress
from raygrid.engine.rows import index_rows
from raygrid.engine.work import plan_tasks
from raygrid.grid import expand
from raygrid.registry import find
from raygrid.spec import AttackSpec, DataSpec, DefenseSpec, GridSpec, Job, VictimSpec
from raygrid.units import Dataset, ShardRef
from raygrid.victims.catalog_builtin import INFOS

CELLS = 1000
VICTIMS = 10


def big_job():
    """Return a job of CELLS cells: VICTIMS victims, ten budgets of PGD, ten eps."""
    component, data, none, pgd = (
        find("victim", "mnist-cnn"),
        find("data", "mnist-5k"),
        find("defense", "none"),
        find("attack", "pgd"),
    )
    victims = tuple(VictimSpec(f"v{i}", component, component.params()) for i in range(VICTIMS))
    attacks = tuple(
        AttackSpec(pgd, pgd.params(steps=steps), "linf", eps / 255) for steps in range(1, 11) for eps in range(1, 11)
    )
    spec = DataSpec(data, data.params())
    grid = GridSpec("g", (spec,), victims, (DefenseSpec(none, none.params()),), attacks)
    return Job("big", (0,), "nowhere", (grid,)), spec


def big_plan(units):
    job, spec = big_job()
    shards = tuple(ShardRef(f"{i:032x}", 32) for i in range(units // CELLS))
    infos = {v.key: replace(INFOS["mnist-cnn"], id=v.id) for grid in job.grids for v in grid.victims}
    dataset = Dataset("digits", "digits", 10, True, (1, 28, 28), shards)
    return expand(job, {spec.key: dataset}, infos, lambda *combination: False)


def hand_out(backlog):
    """Give every task to one of VICTIMS hosts, as the driver does; return the number of batches."""
    batches, homes = 0, [None] * VICTIMS
    for task in {task.kind: task for task in backlog.tasks()}.values():
        backlog.learn(task, 0.5)
    while backlog.waiting:
        for host in range(VICTIMS):
            at_work = dict.fromkeys((name for other, name in enumerate(homes) if other != host and name), 1)
            lane = backlog.choose(homes[host], at_work)
            if lane:
                homes[host] = lane
                for task in backlog.take(lane, 1):
                    backlog.release(task.units[0].key)
                batches += 1
    return batches


def main(units):
    """Print seconds and the peak of memory after each step."""
    made = SimpleNamespace()
    steps = {
        "expand and key": lambda: setattr(made, "plan", big_plan(units)),
        "count progress": lambda: Progress.of(made.plan.scores, set()),
        "arrange tasks": lambda: setattr(made, "backlog", plan_tasks(made.plan.scores, set(), set())),
        "hand out tasks": lambda: hand_out(made.backlog),
        "index rows": lambda: sum(1 for _ in index_rows(made.plan.scores, set())),
    }
    for name, step in steps.items():
        started = time.perf_counter()
        step()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name:16} {time.perf_counter() - started:6.1f} s, peak {peak:6.0f} MB")  # noqa: T201 - a script


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
