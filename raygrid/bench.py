"""What attacks cost against their floor: the forward and backward passes they issue, timed in the same run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch
from rich.table import Table
from torch import Tensor

from raygrid import registry
from raygrid.component import resolve
from raygrid.constraints import Constraint
from raygrid.data.dataset import pixels
from raygrid.errors import UsageError
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.victims.victim import Victim

DATA: dict[tuple[int, int | None, int | None], str] = {(1, 28, 28): "mnist-5k", (3, 32, 32): "cifar10-samples"}
"""Input shape -> the dataset that a victim is timed on; ImageNet photos for the others."""
EPS = {"linf": 4 / 255, "l2": 1.0, "l1": 10.0, "l0": 40.0}


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
    """Let torch use so many threads. More than a machine has idle cores makes every pass wait for the slowest of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def attack_table(victims: list[str], attacks: list[str], steps: int, samples: int, repeats: int, device: str) -> Table:
    """Time every attack on every victim, early stop off.

    Raises:
        UsageError: an unknown name, or an attack that takes no gradient steps.
    """
    table = Table(
        title=f"seconds of {samples} samples, {torch.get_num_threads()} threads, {device}, median of {repeats}"
    )
    for heading in ("victim", "attack", "norm", "passes", "attack", "floor", "attack / floor"):
        table.add_column(heading, justify="left" if heading in {"victim", "attack", "norm"} else "right")
    for victim_name in victims:
        victim = some_victim(victim_name).to(device)
        x, y = (tensor.to(device) for tensor in some_samples(victim, samples))
        for attack in attacks:
            for norm in registry.find("attack", attack).norms or ("",):
                timing = time_attack(victim, x, y, attack, norm, steps, repeats)
                table.add_row(
                    victim_name,
                    attack,
                    norm,
                    f"{timing.forwards} f + {timing.backwards} b",
                    f"{timing.attack_seconds:.3f}",
                    f"{timing.floor_seconds:.3f}",
                    f"{timing.ratio:.3f}",
                )
    return table


def time_attack(victim: Victim, x: Tensor, y: Tensor, name: str, norm: str, steps: int, repeats: int) -> Timing:
    """Time one attack against the passes it issues, in turns, early stop off.

    The floor runs exactly those passes on a frozen victim, with the gradient of the input only, and does nothing with them. It
    runs them on the attack's examples: passes over perturbed digits cost 8 to 11 % more than over clean ones (max pooling on a
    CPU mispredicts its branches).
    """
    component = registry.find("attack", name)
    if component.access != "gradient" or "steps" not in component.params.model_fields:
        raise UsageError(f'attack "{name}" takes no gradient steps; its floor is not the passes it issues')
    params = dict(registry.parse(component, {"steps": steps}))
    run, goal, constraint = resolve(component.build), Goal("untargeted", y), Constraint(norm, EPS[norm])
    randomness = Randomness(0, name, [str(i) for i in range(len(x))])

    def attack() -> tuple[Oracle, Tensor]:
        oracle = Oracle(victim, len(x), stop_early=False, device=x.device)
        return oracle, run(oracle, goal, x, constraint, randomness, **params)

    oracle, x_adv = attack()
    forwards, backwards = int(oracle.forwards.max()), int(oracle.backwards.max())

    def floor() -> None:
        for _ in range(backwards):
            z = x_adv.detach().requires_grad_(True)
            torch.autograd.grad(goal.loss(victim(z)).sum(), z)
        with torch.no_grad():
            for _ in range(forwards - backwards):
                victim(x_adv)

    floor()
    times = [(_seconds(attack, x), _seconds(floor, x)) for _ in range(repeats)]
    a, f = (median(column) for column in zip(*times, strict=True))
    return Timing(a, f, median(attacked / bare for attacked, bare in times), forwards, backwards)


def _seconds(work: Callable[[], object], x: Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    started = time.perf_counter()
    work()
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - started


def some_victim(name: str) -> Victim:
    """Return a built-in victim by its name.

    Raises:
        UsageError: there is none.
    """
    component = registry.find("victim", name)
    params = registry.parse(component, {})
    info = resolve(component.identify or "")(params, name)
    victim: Victim = resolve(component.build)(params, info)
    return victim


def some_samples(victim: Victim, samples: int) -> tuple[Tensor, Tensor]:
    """Return pixels [samples, C, H, W] and labels of a dataset of the victim's input shape; small ones are repeated."""
    component = registry.find("data", DATA.get(victim.info.input_shape, "imagenet-samples"))
    table = resolve(component.build)(registry.parse(component, {}), samples).table
    x, y = torch.tensor(pixels(table)), torch.tensor(table.column("label").to_numpy())
    times = -(-samples // len(x))
    return x.repeat(times, 1, 1, 1)[:samples], y.repeat(times)[:samples]
