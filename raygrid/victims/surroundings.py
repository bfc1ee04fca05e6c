"""What a victim answers around a point, at its input or in a hidden layer, as in Ukita & Ohki (Neural Networks 167, 2023)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from raygrid.randomness import Randomness
from raygrid.victims.victim import Victim

INPUT = "input"
"""The site before all layers."""
VALUES_AT_ONCE = 1 << 24
"""Values of the points that are held at a time, 64 MiB: a small layer takes all directions in one go, a large one a few."""


def sites(victim: Victim, x: Tensor, target_layer: str | None = None) -> list[str]:
    """Return where to look if nobody says: the input, and the layer that an attack aimed at or else all rectified ones.

    Layers that only give the values of the one before another shape are left out.

    Args:
        victim: with or without layers.
        x: some pixels [B, C, H, W].
        target_layer: where an attack aimed, if at a layer; another victim's may be none of this one.
    """
    if target_layer in victim.layers.names:
        return [INPUT, target_layer]
    found, before = [INPUT], x.flatten(1)
    with torch.no_grad():
        for name in victim.layers.names:
            values = victim.features(x, name).flatten(1)
            if victim.layers.rectified(name) and not torch.equal(values, before):
                found.append(name)
            before = values
    return found


def place_of(victim: Victim, site: str) -> int:
    """Return the number of a site: 0 for the input, then the layers from 1.

    Raises:
        UsageError: there is no such layer.
    """
    return 0 if site == INPUT else victim.layers.place(site)


def values_at(victim: Victim, site: str, x: Tensor) -> Tensor:
    """Return the values [B, ...] that pixels x [B, C, H, W] have at a site.

    Raises:
        UsageError: there is no such layer.
    """
    return x if site == INPUT else victim.features(x, site)


def class_counts(
    victim: Victim,
    site: str,
    centers: Tensor,
    radii: Sequence[float],
    draws: int,
    randomness: Randomness,
    *,
    at_once: int | None = None,
) -> Tensor:
    """Count the victim's answers at center + r u, for random unit vectors u, the same ones for every center and radius.

    Behind a layer without negative values, negative ones are set to 0; pixels may leave the box, as in the source.

    Args:
        victim: one that does not answer at random.
        site: the input or a layer.
        centers: values [K, ...] at the site, all of one sample.
        radii: [R], L2, in units of the values.
        draws: number of directions; the first ones are the same however many there are.
        randomness: of that one sample. Directions depend on it and on the site only.
        at_once: points that the victim takes in one pass; default all that are held.

    Returns:
        Counts [K, R, classes + 1], which sum to draws; the last column counts outputs that are not finite.

    Raises:
        UsageError: there is no such layer.
        ValueError: no draws.
    """
    if draws < 1:
        raise ValueError(f"draws: 1 or more, not {draws}")
    lengths = torch.tensor(radii, dtype=centers.dtype, device=centers.device)
    together = max(1, VALUES_AT_ONCE // max(1, len(lengths) * centers.numel()))
    classes = victim.info.classes
    counts = torch.zeros(len(centers), len(lengths), classes + 1, dtype=torch.long)
    with torch.no_grad():
        for some in torch.split(torch.arange(draws), together):
            u = unit_directions(site, some.tolist(), centers[:1], randomness)
            steps = lengths.view(-1, 1, *[1] * (u.dim() - 1)) * u
            points = (centers[:, None, None] + steps).flatten(0, 2)
            answers = torch.cat([_answers(victim, site, part) for part in torch.split(points, at_once or len(points))])
            seen = torch.nn.functional.one_hot(answers.cpu().view(len(centers), len(lengths), -1), classes + 1)
            counts += seen.sum(2)
    return counts


def unit_directions(site: str, which: Sequence[int], like: Tensor, randomness: Randomness) -> Tensor:
    """Return the random directions of these numbers, evenly over the sphere: [len(which), ...] of L2 norm 1.

    Args:
        site: directions of different sites are independent.
        which: numbers of directions.
        like: values [1, ...] at the site.
        randomness: of one sample.
    """
    first = torch.zeros(1, dtype=torch.long)
    drawn = torch.cat([randomness.normal(f"{site}/{k}", first, like) for k in which])
    lengths: Tensor = drawn.flatten(1).norm(dim=1)
    return drawn / lengths.view(-1, *[1] * (drawn.dim() - 1))


def _answers(victim: Victim, site: str, points: Tensor) -> Tensor:
    """Return the classes [B] at points of a site; `classes` where the outputs are not finite."""
    if site != INPUT:
        points = points.clamp_min(0) if victim.layers.rectified(site) else points
    outputs: Tensor = victim(points) if site == INPUT else victim.resume(points, site)
    return torch.where(outputs.isfinite().all(1), outputs.argmax(1), victim.info.classes)
