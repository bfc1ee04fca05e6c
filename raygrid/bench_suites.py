"""AutoAttack and audit beside the reference: verdicts sample by sample, by seeds, and time, in one run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from raygrid.bench_alike import search_alike, searched_alike, start_alike
from raygrid.bench_inputs import some_samples, some_victim, usable_device
from raygrid.constraints import Constraint
from raygrid.notebook import Attacked, attack
from raygrid.victims.victim import Victim

REFERENCE = "pyautoattack"
"""The authors' code as a package on PyPI. torchattacks' copy is none: its AutoAttack runs APGD and FAB for 10 steps, not 100."""
REFERENCE_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}
ALIKE = "same draws"
"""The line of our AutoAttack with all random numbers of the reference."""


@dataclass(frozen=True)
class Run:
    """What one suite left standing, and how long it took."""

    name: str
    seed: int
    standing: Tensor
    """[B] bool."""
    seconds: float
    found: Attacked | None = None
    """What ours did."""


def suite_table(
    victim_name: str,
    data: str | None,
    norm: str,
    eps: float,
    samples: int,
    seeds: int,
    device: str,
    tell: Callable[[str], None] = lambda what: None,
) -> Table:
    """Run AutoAttack, audit and, where it is installed and knows the norm, the reference on the same samples, one after the other.

    Of each seed, the reference's random numbers are ours: APGD starts where ours does, and Square tries the same squares, but on
    all samples at a time. Our AutoAttack has a second line with these: what differs there is the code, and not luck. The reference
    of another seed stands beside that of the first: what differs there is luck alone.

    Args:
        victim_name, data: as job files name them; None: one of raygrid's own of the victim's input shape.
        norm, eps: the ball.
        samples: at most, each once.
        seeds: of each suite.
        device: a torch device.
        tell: called with what runs next, since each takes minutes.

    Raises:
        UsageError: an unknown name, or an eps that makes no sense.
    """
    victim = some_victim(victim_name).to(usable_device(device))
    x, y = (tensor.to(device) for tensor in some_samples(victim, samples, data, repeated=False))
    beside = norm in REFERENCE_NORMS and find_spec(REFERENCE) is not None
    names = ["autoattack", *([ALIKE] if beside else []), "audit", *([REFERENCE] if beside else [])]
    runs: list[Run] = []
    for name in names:
        for seed in range(seeds):
            tell(f"{name}, seed {seed}")
            before = next((run.found for run in runs if run.seed == seed and run.name == "autoattack"), None)
            runs.append(_run(victim, x, y, name, norm, eps, seed, before))
    bases = {run.seed: run for run in runs if run.name == (REFERENCE if beside else "autoattack")}
    base = bases[0]
    table = Table(
        title=f"{victim.info.id}, {norm} {eps:g}, {len(x)} samples, {torch.get_num_threads()} threads, {device}",
        caption=f"net, disagree: against {base.name} of the same seed, and of its seeds against the first; / ours: time over "
        f"autoattack's{f'; {ALIKE}: autoattack with all random numbers of {REFERENCE}' if beside else ''}",
    )
    table.add_column("suite")
    for heading in ("seed", "standing", "net", "disagree", "seconds", "/ base", "/ ours"):
        table.add_column(heading, justify="right")
    for run in runs:
        other = base if run is bases[run.seed] else bases[run.seed]
        table.add_row(
            run.name,
            str(run.seed),
            f"{int(run.standing.sum())} of {len(x)}",
            f"{int(run.standing.sum()) - int(other.standing.sum()):+d}",
            str(int((run.standing != other.standing).sum())),
            f"{run.seconds:.1f}",
            f"{run.seconds / base.seconds:.2f}",
            f"{run.seconds / runs[0].seconds:.2f}",
        )
    return table


def _run(
    victim: Victim, x: Tensor, y: Tensor, name: str, norm: str, eps: float, seed: int, before: Attacked | None
) -> Run:
    """Run a suite; `before`: what our AutoAttack of this seed did, of which the line of the same draws repeats the last stage."""
    started = time.perf_counter()
    if name == REFERENCE:
        return _reference(victim, x, y, norm, eps, seed)
    if name == ALIKE and before is not None:
        *stages, last = before.stages
        standing = searched_alike(victim, x, y, Constraint(norm, eps), _standing(stages[-1]), seed)
        spent = before.seconds - last.seconds
        return Run(name, seed, standing, spent + time.perf_counter() - started)
    found = attack(victim, x, y, name, norm=norm, eps=eps, seed=seed)
    return Run(name, seed, _standing(found), time.perf_counter() - started, found)


def _standing(found: Attacked) -> Tensor:
    return torch.tensor([verdict.status not in ("broken", "clean_wrong") for verdict in found.verdicts])


def _reference(victim: Victim, x: Tensor, y: Tensor, norm: str, eps: float, seed: int) -> Run:
    import pyautoattack

    suite: Any = pyautoattack.AutoAttack(
        victim, norm=REFERENCE_NORMS[norm], eps=eps, version="standard", seed=seed, device=x.device
    )
    start_alike(suite.apgd, "apgd-ce", "start/{}", x, seed)
    start_alike(suite.apgd_targeted, "apgd-t", "start/0/{}", x, seed)
    search_alike(suite.square, x, seed)
    started = time.perf_counter()
    with torch.random.fork_rng():  # it seeds the global generator
        examples, *_ = suite.run_standard_evaluation(x, y, batch_size=len(x))
    with torch.no_grad():
        standing = victim(examples).argmax(1) == y
    return Run(REFERENCE, seed, standing.cpu(), time.perf_counter() - started)
