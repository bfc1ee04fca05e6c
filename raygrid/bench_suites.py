"""AutoAttack and audit beside the reference: verdicts sample by sample, and time, in one run."""

import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from raygrid.bench import some_samples, some_victim
from raygrid.notebook import attack
from raygrid.victims.victim import Victim

REFERENCE = "pyautoattack"
"""The authors' code as a package on PyPI. torchattacks' copy is none: its AutoAttack runs APGD and FAB for 10 steps, not 100."""
REFERENCE_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}


@dataclass(frozen=True)
class Run:
    """What one suite left standing, and how long it took."""

    name: str
    standing: Tensor
    """[B] bool."""
    seconds: float


def suite_table(victim_name: str, norm: str, eps: float, samples: int, device: str) -> Table:
    """Run AutoAttack, audit and, where it is installed and knows the norm, the reference on the same samples, one after the other.

    Raises:
        UsageError: an unknown name, or an eps that makes no sense.
    """
    victim = some_victim(victim_name).to(device)
    x, y = (tensor.to(device) for tensor in some_samples(victim, samples))
    runs = [_ours(victim, x, y, name, norm, eps) for name in ("autoattack", "audit")]
    if norm in REFERENCE_NORMS and find_spec(REFERENCE):
        runs.append(_reference(victim, x, y, norm, eps))
    base = runs[-1] if runs[-1].name == REFERENCE else runs[0]
    table = Table(
        title=f"{victim_name}, {norm} {eps:g}, {samples} samples, {torch.get_num_threads()} threads, {device}"
    )
    table.add_column("suite")
    for heading in (
        "standing",
        f"net against {base.name}",
        "disagree on",
        "seconds",
        f"time / {base.name}",
        "/ autoattack",
    ):
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(
            run.name,
            f"{int(run.standing.sum())} of {samples}",
            f"{int(run.standing.sum()) - int(base.standing.sum()):+d}",
            str(int((run.standing != base.standing).sum())),
            f"{run.seconds:.1f}",
            f"{run.seconds / base.seconds:.2f}",
            f"{run.seconds / runs[0].seconds:.2f}",
        )
    return table


def _ours(victim: Victim, x: Tensor, y: Tensor, name: str, norm: str, eps: float) -> Run:
    started = time.perf_counter()
    found = attack(victim, x, y, name, norm=norm, eps=eps)
    standing = torch.tensor([verdict.status not in ("broken", "clean_wrong") for verdict in found.verdicts])
    return Run(name, standing, time.perf_counter() - started)


def _reference(victim: Victim, x: Tensor, y: Tensor, norm: str, eps: float) -> Run:
    import pyautoattack

    suite: Any = pyautoattack.AutoAttack(victim, norm=REFERENCE_NORMS[norm], eps=eps, version="standard", seed=0)
    started = time.perf_counter()
    with torch.random.fork_rng():  # it seeds the global generator
        examples, *_ = suite.run_standard_evaluation(x, y, batch_size=len(x))
    with torch.no_grad():
        standing = victim(examples).argmax(1) == y
    return Run(REFERENCE, standing.cpu(), time.perf_counter() - started)
