"""The same random numbers for the authors' AutoAttack and for ours, so that what differs between them is the code.

Their APGD draws a start for each sample, and is given ours. Their Square tries the same square on all samples at a time, and ours
one of each sample's own: there both are given one stream for all samples.
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from raygrid.attacks.square import square
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.victims.victim import Victim

QUERIES = 5000
"""Of Square in AutoAttack."""
TILES = 5
"""Bumps a side from which Square starts in L2 and L1."""


def start_alike(adversary: Any, name: str, purpose: str, x: Tensor, seed: int) -> None:
    """Let an APGD of the reference draw its random starts from the streams that ours draws them from.

    Args:
        adversary: the reference's attack; all its runs are to be over some of x.
        name: of our attack, `apgd-ce` or `apgd-t`.
        purpose: what ours draws the start of a run for, with {} for the run's number.
        x: clean inputs [N, C, H, W], none of them twice.
        seed: of ours.
    """
    randomness = Randomness(seed, name, [str(i) for i in range(len(x))])  # as `raygrid.attack` names samples
    position = {row: i for i, row in enumerate(_contents(x))}
    method = "decr_eps_pgd" if adversary.use_largereps else "attack_single_run"
    run, runs = getattr(adversary, method), count()

    def started(clean: Tensor, *rest: Any, **more: Any) -> Any:
        index, what = torch.tensor([position[row] for row in _contents(clean)]), purpose.format(next(runs))
        with _Drawn(
            uniform=lambda like: randomness.uniform(what, index, like),
            normal=lambda like: randomness.normal(what, index, like),
        ):
            return run(clean, *rest, **more)

    setattr(adversary, method, started)


def _contents(x: Tensor) -> Sequence[bytes]:
    return [row.tobytes() for row in x.detach().cpu().numpy()]


Draw = Callable[[Tensor], Tensor]
"""(like) -> numbers of its shape."""


class _Drawn(TorchFunctionMode):
    """In this context these numbers stand in for those of torch's generator."""

    def __init__(self, uniform: Draw, normal: Draw | None = None) -> None:
        super().__init__()
        self._draw = {torch.rand: uniform, torch.randn: normal, torch.randn_like: normal}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        draw = self._draw.get(func)
        if draw is None:
            return func(*args, **(kwargs or {}))
        numbers: Tensor = draw(args[0] if isinstance(args[0], Tensor) else torch.empty(args[0]))
        return numbers


def search_alike(adversary: Any, x: Tensor, seed: int, queries: int = QUERIES) -> None:
    """Let the reference's Square take its random numbers, the same for all samples, from the stream of `searched_alike`.

    Args:
        adversary: the reference's Square; it is to run once.
        x: some of its clean inputs [N, C, H, W].
        seed: of the stream.
        queries: looks at the victim, the first at the start.
    """
    stream, one, (c, _, w) = _one_stream(1, seed), torch.zeros(1, dtype=torch.long), x.shape[1:]
    steps = stream.uniform("steps", one, torch.empty(1, queries, 5 + c))[0, 1:]  # the first looks at the start
    if adversary.norm == "Linf":
        signs, turns = [stream.uniform("stripes", one, torch.empty(1, c, 1, w))[0]], []
    else:
        bumps = stream.uniform("bumps", one, torch.empty(1, TILES, TILES, 1 + c))[0].flatten(0, 1)
        signs, turns = list(bumps[:, 1:, None, None]), bumps[:, 0].tolist()
    signs_left = iter([*signs, *steps[:, 5:, None, None]])
    turns_left = iter([*turns, *steps[:, 4].tolist()])
    places_left = iter(steps[:, : 2 if adversary.norm == "Linf" else 4].flatten().tolist())
    bump = adversary.eta

    def random_choice(shape: Sequence[int]) -> Tensor:
        return torch.where(next(signs_left) < 0.5, -1.0, 1.0).expand(*shape).to(x.device)

    def random_int(low: int, high: int) -> Tensor:
        return torch.tensor([int(next(places_left) * (high - low + 1))])  # the last place as well, as the paper has it

    def eta(side: int) -> Tensor:
        with _Drawn(lambda like: torch.tensor([next(turns_left)])):
            made: Tensor = bump(side)
        return made

    adversary.random_choice, adversary.random_int, adversary.eta = random_choice, random_int, eta
    adversary.n_queries = len(steps)  # beside the look at the start, which theirs does not count


def searched_alike(
    victim: Victim,
    x: Tensor,
    y: Tensor,
    constraint: Constraint,
    standing: Tensor,
    seed: int,
    queries: int = QUERIES,
) -> Tensor:
    """Run our Square on the numbers that `search_alike` gives the reference's, over the samples [N] that stand. Return which stand
    then, [N] bool."""
    oracle = Oracle(victim, len(x), access="score", skip=~standing, device=x.device)
    z = square(
        oracle,
        Goal("untargeted", y),
        x,
        constraint,
        _one_stream(len(x), seed),
        queries=queries,
        p_init=0.8,
        rescale=False,
    )
    with torch.no_grad():
        fell: Tensor = (victim(z).argmax(1) != y) & constraint.allows(z, x)
    return standing & ~fell.cpu()


def _one_stream(samples: int, seed: int) -> Randomness:
    return Randomness(seed, "square", ["every sample"] * samples)
