"""`raygrid plan`: what a job would run, what is done already, and what it costs at most."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table

from raygrid.engine.inputs import read_inputs
from raygrid.engine.measures import measurable
from raygrid.engine.placement import HostWishes, place
from raygrid.engine.remarks import remarks
from raygrid.engine.run import Done, what_is_done
from raygrid.engine.work import plan_tasks
from raygrid.errors import UsageError
from raygrid.results.folder import MARKER, check
from raygrid.results.open import open_results
from raygrid.results.store import open_store
from raygrid.spec import Job
from raygrid.units import Craft, Plan

PACE_SQL = """
SELECT t.victim, sum(c.seconds) / sum(c.forwards + c.backwards) AS seconds
FROM crafts c JOIN (SELECT DISTINCT craft_key, coalesce(source, victim) AS victim FROM trials) t USING (craft_key)
GROUP BY t.victim HAVING sum(c.forwards + c.backwards) > 0
"""


def plan_report(job: Job, have: Mapping[str, float], wishes: HostWishes) -> Iterator[RenderableType]:
    """Yield what a person wants to know before a run starts. Reads datasets and identifies victims; runs nothing.

    Args:
        job: the job.
        have: what the machine or cluster has, see placement.place.
        wishes: what a person has said of the hosts.

    Raises:
        UsageError: whatever makes the job impossible, as `raygrid run` would say it.
    """
    job, notes = measurable(job)
    yield from (*notes, *remarks(job))
    plan = read_inputs(job).plan
    done = _done(job)
    pace = _pace(job)
    yield _cells(plan, done)
    fits = [fit for key, fit in plan.fits.items() if key not in done.fitted]
    waiting = {score.craft.key for score in plan.scores if score.key not in done.scored} - done.crafted
    passes: Counter[str] = Counter()
    for key in waiting:
        passes[plan.crafts[key].model.victim.id] += _passes(plan.crafts[key])
    for fit in fits:
        passes[fit.model.victim.id] += fit.shard.size * sum(fit.what.params.fit_passes())
    units = {score.key for score in plan.scores}  # cells of several grids may share one
    scored = len(units & done.scored)
    yield (
        f"{len(plan.cells)} cells; {len(units)} score units, {scored} done, {len(units) - scored} to run; "
        f"{len(plan.crafts)} craft units, {len(waiting)} to run"
        + (f"; {len(plan.fits)} fit units, {len(fits)} to run" if plan.fits else "")
    )
    tasks = plan_tasks(plan.scores, done.scored, done.crafted, done.fitted).waiting
    chosen, room = (place(have, number, wishes) for number in (max(tasks, 1), sys.maxsize))
    idle = room.hosts - chosen.hosts
    yield f"placed on {chosen.hosts} hosts of {chosen.cpus} CPUs and {chosen.gpus:g} GPUs" + (
        f"; {idle} more would fit and have nothing to do: a smaller data.shard makes more units"
        if tasks and idle
        else ""
    )
    for victim, count in passes.items():
        time = (
            f", about {count * pace[victim] / 3600:.2g} host-hours at the pace of earlier runs"
            if victim in pace
            else ""
        )
        yield f"at most {count:,} forward and backward passes on {victim}{time}"


def _passes(craft: Craft) -> int:
    return sum(craft.attack.params.passes()) * craft.attack.looks * craft.shard.size


def _cells(plan: Plan, done: Done) -> Table:
    units, cached, samples = Counter[str](), Counter[str](), defaultdict[str, int](int)
    for score in plan.scores:
        units[score.cell.id] += 1
        cached[score.cell.id] += score.key in done.scored
        samples[score.cell.id] += score.craft.shard.size
    table = Table("cell")
    for heading in ("samples", "units", "done"):
        table.add_column(heading, justify="right")
    for cell_id in plan.cells:
        table.add_row(cell_id, str(samples[cell_id]), str(units[cell_id]), str(cached[cell_id]))
    return table


def _done(job: Job) -> Done:
    store = open_store(job.results)
    if not store.exists(MARKER):
        return Done(set(), set(), set())
    check(store, writing=True)
    return what_is_done(store)


def _pace(job: Job) -> dict[str, float]:
    """Return seconds a pass by victim, as earlier runs in the same folder took."""
    try:
        rows = open_results(job.results).query(PACE_SQL).to_pylist()
    except UsageError:  # no run there yet
        return {}
    return {row["victim"]: row["seconds"] for row in rows}
