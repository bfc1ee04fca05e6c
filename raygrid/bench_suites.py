"""AutoAttack and audit beside the reference: verdicts sample by sample, by seeds, and time, in one run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torch.overrides import TorchFunctionMode

from raygrid.bench_inputs import some_samples, some_victim, usable_device
from raygrid.notebook import attack
from raygrid.randomness import Randomness
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

    The reference's APGD starts where ours starts, at points drawn from the streams of the same seed, so that what differs is the
    code. With several seeds each suite stands beside the reference of its seed, and that of another seed beside the first: what
    differs there is luck.

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
    bases = {run.seed: run for run in runs if run.name == (REFERENCE if REFERENCE in names else "autoattack")}
    base = bases[0]
    table = Table(
        title=f"{victim.info.id}, {norm} {eps:g}, {len(x)} samples, {torch.get_num_threads()} threads, {device}",
        caption=f"net, disagree: against {base.name} of the same seed, and of its seeds against the first; / ours: time over "
        "autoattack's",
    )
    table.add_column("suite")
    for heading in ("seed", "standing", "net", "disagree", "seconds", "/ base", "/ ours"):
        table.add_column(heading, justify="right")
    for run in runs:
        beside = base if run is bases[run.seed] else bases[run.seed]
        table.add_row(
            run.name,
            str(run.seed),
            f"{int(run.standing.sum())} of {len(x)}",
            f"{int(run.standing.sum()) - int(beside.standing.sum()):+d}",
            str(int((run.standing != beside.standing).sum())),
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
    streams = {
        name: Randomness(seed, name, [str(i) for i in range(len(x))]) for name in ("apgd-ce", "apgd-t")
    }  # as `attack` names them
    start_alike(suite.apgd, x, lambda run: f"start/{run}", streams["apgd-ce"])
    start_alike(suite.apgd_targeted, x, lambda run: f"start/0/{run}", streams["apgd-t"])
    started = time.perf_counter()
    with torch.random.fork_rng():  # it seeds the global generator
        examples, *_ = suite.run_standard_evaluation(x, y, batch_size=len(x))
    with torch.no_grad():
        standing = victim(examples).argmax(1) == y
    return Run(REFERENCE, seed, standing.cpu(), time.perf_counter() - started)


def start_alike(adversary: Any, x: Tensor, purpose: Callable[[int], str], randomness: Randomness) -> None:
    """Let an APGD of the reference draw its random starts from the streams that ours draws them from.

    Args:
        adversary: the reference's attack; all its runs are to be over some of x.
        x: clean inputs [N, C, H, W], none of them twice.
        purpose: number of a run -> what ours draws the start of that run for.
        randomness: the streams of our attack.
    """
    method = "decr_eps_pgd" if adversary.use_largereps else "attack_single_run"
    run, runs, position = getattr(adversary, method), count(), {row: i for i, row in enumerate(_contents(x))}

    def started(clean: Tensor, *rest: Any, **more: Any) -> Any:
        index = torch.tensor([position[row] for row in _contents(clean)])
        with _Drawn(randomness, purpose(next(runs)), index):
            return run(clean, *rest, **more)

    setattr(adversary, method, started)


def _contents(x: Tensor) -> Sequence[bytes]:
    return [row.tobytes() for row in x.detach().cpu().numpy()]


class _Drawn(TorchFunctionMode):
    """In this context torch's generator gives way to the samples' streams."""

    def __init__(self, randomness: Randomness, purpose: str, index: Tensor) -> None:
        super().__init__()
        self._draw = {
            torch.rand: randomness.uniform,
            torch.randn: randomness.normal,
            torch.randn_like: randomness.normal,
        }
        self._purpose, self._index = purpose, index

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in self._draw:
            return func(*args, **(kwargs or {}))
        like = args[0] if isinstance(args[0], Tensor) else torch.empty(args[0])
        return self._draw[func](self._purpose, self._index, like)
