"""How far two inputs drift apart inside a victim, layer by layer."""

import torch
from torch import Tensor

from raygrid.victims.victim import Victim


def layer_distances(
    victim: Victim, z: Tensor, x: Tensor, micro_batch: int | None = None
) -> list[dict[str, float | None]]:
    """Return for each pair of inputs z and x [B, C, H, W] place -> L2 distance of the values there, as a share of the norm of x's.

    The places are `input`, the layers of the bare victim in order (none of one that can't be cut), and `output`; without any of a
    defense's own. None where x's norm is 0. The quotient of two of them says how much a distance has grown in between.

    Args:
        victim: with or without defenses.
        z: examples.
        x: originals.
        micro_batch: pairs in one pass at most.
    """
    while isinstance(inner := getattr(victim, "victim", None), Victim):
        victim = inner
    found: list[dict[str, float | None]] = []
    with torch.no_grad():
        for some_z, some_x in zip(*(torch.split(t, micro_batch or max(1, len(x))) for t in (z, x)), strict=True):
            columns = _distances(victim, some_z, some_x)
            found += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return found


def _distances(victim: Victim, z: Tensor, x: Tensor) -> dict[str, list[float | None]]:
    columns = {"input": _relative(z, x)}
    if not len(x):
        return columns
    stages = victim.layers.stages
    a, b = victim.inside(z), victim.inside(x)
    for stage in stages[:-1]:
        a, b = stage.run(a), stage.run(b)
        columns[stage.name] = _relative(a, b)
    logits = (stages[-1].run(a), stages[-1].run(b)) if stages else (victim(z), victim(x))
    return {**columns, "output": _relative(*logits)}


def _relative(a: Tensor, b: Tensor) -> list[float | None]:
    distance, norm = ((t.double().flatten(1)).norm(dim=1).tolist() for t in (a - b, b))
    return [d / n if n else None for d, n in zip(distance, norm, strict=True)]
