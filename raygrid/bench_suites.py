"""AutoAttack and audit beside the reference: verdicts sample by sample, by seeds, and time, in one run."""

import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from raygrid.bench_inputs import some_samples, some_victim, usable_device
from raygrid.notebook import attack
from raygrid.victims.victim import Victim

REFERENCE = "pyautoattack"
"""The authors' code as a package on PyPI. torchattacks' copy is none: its AutoAttack runs APGD and FAB for 10 steps, not 100."""
REFERENCE_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}


@dataclass(frozen=True)
class Run:
    """What one suite left standing, and how long it took."""

    name: str
    seed: int
    standing: Tensor
    """[B] bool."""
    seconds: float


def suite_table(
    victim_name: str, data: str | None, norm: str, eps: float, samples: int, seeds: int, device: str
) -> Table:
    """Run AutoAttack, audit and, where it is installed and knows the norm, the reference on the same samples, one after the other.

    With several seeds the reference stands beside itself: what differs no more than that is luck.

    Raises:
        UsageError: an unknown name, or an eps that makes no sense.
    """
    victim = some_victim(victim_name).to(usable_device(device))
    x, y = (tensor.to(device) for tensor in some_samples(victim, samples, data, repeated=False))
    names = ["autoattack", "audit", *([REFERENCE] if norm in REFERENCE_NORMS and find_spec(REFERENCE) else [])]
    runs = [
        _reference(victim, x, y, norm, eps, seed) if name == REFERENCE else _ours(victim, x, y, name, norm, eps, seed)
        for name in names
        for seed in range(seeds)
    ]
    base = next(run for run in runs if run.name == (REFERENCE if REFERENCE in names else "autoattack"))
    table = Table(
        title=f"{victim.info.id}, {norm} {eps:g}, {len(x)} samples, {torch.get_num_threads()} threads, {device}",
        caption=f"base: {base.name}, seed {base.seed}, which net and disagree count against; / ours: time over autoattack's",
    )
    table.add_column("suite")
    for heading in ("seed", "standing", "net", "disagree", "seconds", "/ base", "/ ours"):
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(
            run.name,
            str(run.seed),
            f"{int(run.standing.sum())} of {len(x)}",
            f"{int(run.standing.sum()) - int(base.standing.sum()):+d}",
            str(int((run.standing != base.standing).sum())),
            f"{run.seconds:.1f}",
            f"{run.seconds / base.seconds:.2f}",
            f"{run.seconds / runs[0].seconds:.2f}",
        )
    return table


def _ours(victim: Victim, x: Tensor, y: Tensor, name: str, norm: str, eps: float, seed: int) -> Run:
    started = time.perf_counter()
    found = attack(victim, x, y, name, norm=norm, eps=eps, seed=seed)
    standing = torch.tensor([verdict.status not in ("broken", "clean_wrong") for verdict in found.verdicts])
    return Run(name, seed, standing, time.perf_counter() - started)


def _reference(victim: Victim, x: Tensor, y: Tensor, norm: str, eps: float, seed: int) -> Run:
    import pyautoattack

    suite: Any = pyautoattack.AutoAttack(
        victim, norm=REFERENCE_NORMS[norm], eps=eps, version="standard", seed=seed, device=x.device
    )
    started = time.perf_counter()
    with torch.random.fork_rng():  # it seeds the global generator
        examples, *_ = suite.run_standard_evaluation(x, y, batch_size=len(x))
    with torch.no_grad():
        standing = victim(examples).argmax(1) == y
    return Run(REFERENCE, seed, standing.cpu(), time.perf_counter() - started)
