"""Attacks beside their peers on the same victim and samples: what each achieved, and how long it took, in one table."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from statistics import median

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from raygrid.bench import Task, seconds, tasks
from raygrid.bench_peers import PEERS, Peer
from raygrid.victims.victim import Victim

SHORT = {"adversarial-robustness-toolbox": "ART"}
"""Names of packages that are too long for a table."""


@dataclass(frozen=True)
class Outcome:
    """What one package's attack did."""

    who: str
    passes: float
    """Forward passes over a sample, the mean."""
    achieved: float
    """At a fixed radius: how many samples stand, the less the stronger. Else: the median distance of the closest examples,
    infinite where none was found."""
    seconds: float
    ratio: float
    """Our time over this one's: the median over repetitions that ran one after the other."""


def compare_table(
    victims: list[str],
    data: str | None,
    attacks: list[str],
    steps: int,
    queries: int,
    samples: int | None,
    repeats: int,
    eps: float | None,
    device: str,
) -> Table:
    """Run every attack as it is used, early stop on, beside its installed peers. Arguments as those of `bench.tasks`.

    Raises:
        UsageError: an unknown name, or an attack that can't be timed by itself.
    """
    table = Table(
        title=f"As used, {torch.get_num_threads()} threads, {device}, median of {repeats}",
        caption="standing, or median distance: the less the stronger; passes: forward, a sample; ART: "
        "adversarial-robustness-toolbox; ours /: raygrid's time over the peer's",
    )
    table.add_column("by", no_wrap=True)
    for heading in ("passes", "standing", "distance", "seconds", "ours /"):
        table.add_column(heading, justify="right", no_wrap=True)
    for victim in victims:
        for task in tasks(victim, data, attacks, steps, queries, samples, eps, device):
            peers = [peer for peer in PEERS.get((task.attack.name, task.constraint.norm), ()) if peer.installed]
            closest = math.isinf(task.constraint.eps)
            radius = "closest" if closest else f"{task.constraint.eps:.3g}"
            table.add_section()
            what = f"{task.victim.info.id} {task.attack.name} {task.constraint.norm} {radius}"
            table.add_row(f"[bold]{what}[/]", "", f"of {len(task.x)}")
            for i, outcome in enumerate(compare(task, peers, repeats)):
                table.add_row(
                    f"  {outcome.who}",
                    f"{outcome.passes:.0f}",
                    "" if closest else f"{outcome.achieved:.0f}",
                    f"{outcome.achieved:.4g}" if closest else "",
                    f"{outcome.seconds:.3f}",
                    f"{outcome.ratio:.2f}" if i else "",
                )
    return table


def compare(task: Task, peers: list[Peer], repeats: int) -> list[Outcome]:
    """Run our attack and its peers in turns, from the same seed each time. Returns ours first, then ours in mixed precision, where
    a GPU makes that quicker."""
    ours = ("raygrid", "raygrid, mixed") if task.x.is_cuda and task.attack.access == "gradient" else ("raygrid",)
    names = [*ours, *(f"{SHORT.get(peer.package, peer.package)} {version(peer.package)}" for peer in peers)]
    runs: list[Callable[[], object]] = []
    looks = []
    for mixed in (False, True)[: len(ours)]:
        run = partial(task.run, stop_early=True, mixed=mixed)
        oracle, examples = run()  # which also warms everything up
        runs.append(run)
        looks.append((float(oracle.forwards.mean()), achieved(task, examples)))
    for peer in peers:
        call = _fenced(peer, task)
        with _counted(task.victim) as shown:
            examples = call()
        runs.append(call)
        looks.append((sum(shown) / len(task.x), achieved(task, examples)))
    times = [[seconds(run, task.x) for run in runs] for _ in range(repeats)]
    return [
        Outcome(
            who,
            *looks[i],
            seconds=median(row[i] for row in times),
            ratio=median(row[0] / row[i] for row in times),
        )
        for i, who in enumerate(names)
    ]


def achieved(task: Task, examples: Tensor) -> float:
    """Return how many samples stand, or the median distance; an example outside ball or box counts for nothing."""
    with torch.no_grad():
        fooled = (task.victim(examples).argmax(1) != task.y) & task.constraint.allows(examples, task.x)
    if math.isfinite(task.constraint.eps):
        return float((~fooled).sum())
    distance = task.constraint.distance(examples, task.x).masked_fill(~fooled, math.inf)
    return float(median(distance.tolist()))


def _fenced(peer: Peer, task: Task) -> Callable[[], Tensor]:
    """Peers draw from the global generators, and some seed them: those of the process are put back afterwards."""

    def run() -> Tensor:
        numbers = np.random.get_state()
        with torch.random.fork_rng(devices=[task.x.device] if task.x.is_cuda else []):
            torch.manual_seed(0)
            np.random.seed(0)
            try:
                return peer.call(replace(task, x=task.x.clone())).detach()
            finally:
                np.random.set_state(numbers)

    return run


@contextmanager
def _counted(victim: Victim) -> Iterator[list[int]]:
    """Note how many samples each forward pass is over."""
    shown: list[int] = []
    handle = victim.register_forward_hook(lambda module, inputs, output: shown.append(len(output)))
    try:
        yield shown
    finally:
        handle.remove()
