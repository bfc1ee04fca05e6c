"""What attacks cost against their floor: the forward and backward passes they issue, timed in the same run."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median

import torch
from rich.table import Table
from torch import Tensor

from raygrid import registry
from raygrid.arithmetic import compute_exactly
from raygrid.bench_inputs import MOST_BYTES, some_samples, some_victim, usable_device, usual_samples
from raygrid.component import Component, Params, resolve
from raygrid.constraints import Constraint
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.job import check_eps
from raygrid.memory import keep_freed_memory
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.sample_errors import NoStartError
from raygrid.spec import AttackSpec
from raygrid.victims.mixed import mixed_passes
from raygrid.victims.victim import Victim

EPS = {"linf": 4 / 255, "l2": 1.0, "l1": 10.0, "l0": 40.0}
"""Radii for victims that nobody has measured."""
MEASURED = {
    "mnist-cnn": {"linf": 0.08, "l2": 1.0, "l1": 5.0},
    "mnist-cnn-adv": {"linf": 0.325, "l2": 2.5, "l1": 11.0},
    "cifar10-cnn": {"linf": 1 / 255, "l2": 0.1, "l1": 2.0},
}
"""Victim -> radii at which 33 to 61 % of 64 samples stand after 40 steps of PGD."""


@dataclass(frozen=True)
class Task:
    """An attack on some samples: what ours and its peers are asked to do alike."""

    victim: Victim
    x: Tensor
    """Pixels [B, C, H, W]."""
    y: Tensor
    """Labels [B]."""
    attack: Component
    params: Params
    constraint: Constraint
    """Of infinite radius for an attack that looks for the closest example."""
    skip: Tensor | None = None
    """[B] bool: samples that are left as they are."""

    def run(self, *, stop_early: bool, mixed: bool = False) -> tuple[Oracle, Tensor]:
        """Run our attack, its gradients in 16 bits if `mixed`.

        Returns the oracle, which has counted the passes, and the examples [B, C, H, W].

        A sample for which a search finds no start is given back as it is, and the search starts anew without it.
        """
        oracle = Oracle(
            self.victim,
            len(self.x),
            access=self.attack.access,
            stop_early=stop_early,
            skip=self.skip,
            device=self.x.device,
            mixed=mixed_passes(self.victim) if mixed else None,
        )
        randomness = Randomness(0, self.attack.name, [str(i) for i in range(len(self.x))])
        search, goal = resolve(self.attack.build), Goal("untargeted", self.y)
        try:
            return oracle, search(oracle, goal, self.x, self.constraint, randomness, **dict(self.params))
        except NoStartError as error:
            skip = torch.zeros(len(self.x), dtype=torch.bool) if self.skip is None else self.skip.clone()
            skip[error.positions] = True
            return replace(self, skip=skip).run(stop_early=stop_early, mixed=mixed)


@dataclass(frozen=True)
class Timing:
    """Medians of interleaved repetitions."""

    attack_seconds: float
    floor_seconds: float
    ratio: float
    """Cost of the attack over its floor: the median over pairs of neighbors, which share what else the machine does."""
    forwards: int
    backwards: int


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use so many threads, the process keep its memory, and a GPU compute in float32, as a host does.

    More threads than a machine has idle cores make every pass wait for the slowest of them.
    """
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with compute_exactly():
            yield
    finally:
        torch.set_num_threads(before)


def timed_attack(name: str) -> Component:
    """Return an attack that can be timed by itself.

    Raises:
        UsageError: there is none of this name, or it is no search of its own.
    """
    component = registry.find("attack", name)
    if component.suite:
        raise UsageError(f'attack "{name}" is a suite, several attacks in turn; `raygrid bench autoattack` times it')
    if component.fit:
        raise UsageError(
            f'attack "{name}" is learned once on samples set apart, and asks nothing of a victim afterwards'
        )
    if not component.norms:
        raise UsageError(
            f'attack "{name}" keeps to no ball: there is no radius to compare it at, and it searches nothing'
        )
    return component


def tasks(
    victim_name: str,
    data: str | None,
    attacks: list[str],
    steps: int,
    queries: int,
    samples: int | None,
    eps: float | None,
    device: str,
) -> Iterator[Task]:
    """Yield what to time on a victim: every attack in each of its norms.

    Args:
        victim_name: a victim as job files name it.
        data: a dataset likewise; None: one of raygrid's own of the victim's input shape.
        attacks: names.
        steps, queries: for the attacks that have such a parameter.
        samples: how many at most, each once; None: a shard where a job says nothing, and one pass of a host at most.
        eps: radius of all norms; None: the victim's.
        device: a torch device.

    Raises:
        UsageError: an unknown name, an attack that can't be timed by itself, or an eps that restricts nothing.
    """
    components = [timed_attack(name) for name in attacks]
    victim = some_victim(victim_name).to(usable_device(device))
    samples = samples or usual_samples(victim, device)
    x, y = (tensor.to(device) for tensor in some_samples(victim, samples, data, repeated=False))
    for component in components:
        sizes = {"steps": steps, "queries": queries}
        params = registry.parse(component, {k: v for k, v in sizes.items() if k in component.params.model_fields})
        for norm in component.norms:
            radius = (EPS | MEASURED.get(victim.info.id, {}))[norm] if eps is None else eps
            closest = component.minimal_norm
            if not closest and (wrong := check_eps(AttackSpec(component, params, norm, radius), x.shape[1:])):
                raise UsageError(f"--eps: {wrong}")
            constraint = Constraint(norm, math.inf if closest else radius)
            yield Task(victim, x, y, component, params, constraint)


def attack_table(
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
    """Time every attack on every victim, early stop off. Arguments as those of `tasks`.

    Raises:
        UsageError: an unknown name, or an attack that can't be timed by itself.
    """
    table = Table(
        title=f"Seconds, early stop off, {torch.get_num_threads()} threads, {device}, median of {repeats}",
        caption="f + b: forward and backward passes over each sample",
    )
    for heading in ("victim", "attack", "norm", "samples", "f + b", "attack", "floor", "attack / floor"):
        table.add_column(heading, justify="left" if heading in {"victim", "attack", "norm"} else "right")
    for victim in victims:
        for task in tasks(victim, data, attacks, steps, queries, samples, eps, device):
            timing = time_attack(task, repeats)
            table.add_row(
                task.victim.info.id,
                task.attack.name,
                task.constraint.norm,
                str(len(task.x)),
                f"{timing.forwards} + {timing.backwards}",
                f"{timing.attack_seconds:.3f}",
                f"{timing.floor_seconds:.3f}",
                f"{timing.ratio:.3f}",
            )
    return table


def time_attack(task: Task, repeats: int) -> Timing:
    """Time one attack against the passes it issues, in turns, early stop off.

    The floor runs exactly those passes, at the points where the attack ran them, on a frozen victim, with the gradient of the input
    only, and does nothing with them. As many passes over other points cost something else: over clean digits 8 to 11 % less than
    over noisy ones (max pooling on a CPU mispredicts its branches).

    Raises:
        UsageError: the points take more memory than `MOST_BYTES`.
    """
    oracle, _ = task.run(stop_early=False)
    task = replace(
        task, skip=torch.from_numpy(oracle.forwards == 0)
    )  # those without a start, on which nothing is spent below
    with watched(task.victim) as passes:
        oracle, _ = task.run(stop_early=False)

    def attack() -> None:
        task.run(stop_early=False)

    def floor() -> None:
        for z, with_gradient in passes:
            issue(task.victim, z, with_gradient)

    floor()
    times = [(seconds(attack, task.x), seconds(floor, task.x)) for _ in range(repeats)]
    a, f = (median(column) for column in zip(*times, strict=True))
    ratio = median(attacked / bare for attacked, bare in times)
    return Timing(a, f, ratio, int(oracle.forwards.max()), int(oracle.backwards.max()))


@contextmanager
def watched(victim: Victim) -> Iterator[list[tuple[Tensor, bool]]]:
    """Keep the points of the passes that are run on a victim: their inputs [B, C, H, W], and whether they were to give a gradient.

    Raises:
        UsageError: in the pass by which they take more memory than `MOST_BYTES`.
    """
    passes: list[tuple[Tensor, bool]] = []

    def keep(module: torch.nn.Module, inputs: tuple[Tensor]) -> None:
        passes.append((inputs[0].detach().clone(), inputs[0].requires_grad))
        check_bytes([x for x, _ in passes], "samples, steps or queries")

    handle = victim.register_forward_pre_hook(keep)
    try:
        yield passes
    finally:
        handle.remove()


def check_bytes(points: Sequence[Tensor], fewer: str) -> None:
    """Refuse to keep more than `MOST_BYTES`.

    Raises:
        UsageError: the points of some passes take more; it says of what to use fewer.
    """
    if sum(x.nbytes for x in points) > MOST_BYTES:
        raise UsageError(f"the points of all passes take more than {MOST_BYTES / 1e9:.0f} GB: use fewer {fewer}")


def issue(victim: Callable[[Tensor], Tensor], x: Tensor, with_gradient: bool) -> None:
    """Run a bare pass over x [B, C, H, W], with the gradient of some cross-entropy or without."""
    if not with_gradient:
        with torch.no_grad():
            victim(x)
        return
    z = x.requires_grad_(True)
    logits = victim(z)
    torch.autograd.grad(torch.nn.functional.cross_entropy(logits, logits.argmax(1), reduction="sum"), z)
    x.requires_grad_(False)


def seconds(work: Callable[[], object], x: Tensor) -> float:
    """Time some work on the device of x."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    started = time.perf_counter()
    work()
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - started
