"""How embeddings are compared: those of one embedder, and those of several that stand side by side and must all agree."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from raygrid.victims.info import Alone, VictimInfo


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosines [..., K] of vectors a [..., D] and b [..., K, D]."""
    return (functional.normalize(a, dim=-1).unsqueeze(-2) * functional.normalize(b, dim=-1)).sum(-1)


def nearness(a: Tensor, b: Tensor) -> Tensor:
    """Return minus the L2 distances [..., K] of vectors a [..., D] and b [..., K, D]."""
    distance: Tensor = torch.linalg.vector_norm(a.unsqueeze(-2) - b, dim=-1)
    return -distance


SIMILARITIES: dict[Alone, Callable[[Tensor, Tensor], Tensor]] = {"cosine": cosine, "l2": nearness}


def _cosines(embeddings: Tensor) -> Tensor:
    unit = functional.normalize(embeddings, dim=1)
    return unit @ unit.T


def _nearnesses(embeddings: Tensor) -> Tensor:
    return -torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")


_AMONG: dict[Alone, Callable[[Tensor], Tensor]] = {"cosine": _cosines, "l2": _nearnesses}


@dataclass(frozen=True)
class Part:
    """What one of several embedders says, within a vector that holds the embeddings of all."""

    width: int
    """Of its embedding."""
    similarity: Alone
    """By which it alone compares."""
    center: float = 0.0
    spread: float = 1.0
    """Mean and standard deviation of its similarities of two people."""


@dataclass(frozen=True)
class Weakest:
    """The least of what several embedders say, so that a match takes all of them.

    Each speaks on a scale of its own: a cosine of 0.3 may be much for one and little for another, and minus a distance is no cosine
    at all. So every similarity is counted from the mean of its embedder's impostors and in their standard deviations (the z-score
    of Jain, Nandakumar & Ross, Pattern Recognition 2005), those of people set apart. One threshold on the least of these then makes
    the false accept rate that of the whole; each embedder alone would accept more.
    """

    parts: tuple[Part, ...]

    def of(self, similarities: Sequence[Tensor]) -> Tensor:
        """Return the least [...] of the embedders' similarities [...]."""
        scaled = [(s - part.center) / part.spread for part, s in zip(self.parts, similarities, strict=True)]
        return torch.stack(scaled).amin(0)

    def split(self, embeddings: Tensor) -> tuple[Tensor, ...]:
        """Return the embedding [..., width] of each embedder, of vectors [..., D]."""
        return torch.split(embeddings, [part.width for part in self.parts], dim=-1)

    def standardized(self, embeddings: Tensor, people: Sequence[int]) -> "Weakest":
        """Return it with every embedder's scale as impostors show it.

        Args:
            embeddings: of photos of some people [N, D].
            people: whom they show [N].

        Raises:
            ValueError: there is nothing to tell a scale from: no two people, or an embedder to which all are equally like.
        """
        who = np.asarray(people)
        different = torch.from_numpy((who[:, None] != who[None]) & np.triu(np.ones((len(who),) * 2, dtype=bool)))
        parts = []
        for number, (part, own) in enumerate(zip(self.parts, self.split(embeddings), strict=True), 1):
            impostors = among(part.similarity, own)[different.to(own.device)].double()
            spread = float(impostors.std(correction=0)) if len(impostors) else 0.0
            if not spread > 0:
                raise ValueError(f"embedder {number} of {len(self.parts)} finds all pairs of people equally alike")
            parts.append(replace(part, center=float(impostors.mean()), spread=spread))
        return Weakest(tuple(parts))


By = Alone | Weakest
"""What embeddings are compared by."""


def by_of(info: VictimInfo) -> By:
    """Return what a victim's embeddings are compared by; the scales of several that must all agree are still to be found."""
    if info.similarity != "weakest":
        return info.similarity
    return Weakest(tuple(Part(member.classes, _alone(member)) for member in info.members))


def _alone(member: VictimInfo) -> Alone:
    if member.similarity == "weakest":
        raise ValueError(f'"{member.id}" is several embedders itself')
    return member.similarity


def compare(by: By, a: Tensor, b: Tensor) -> Tensor:
    """Return the similarities [..., K] of vectors a [..., D] and b [..., K, D]."""
    if isinstance(by, Weakest):
        pairs = zip(by.parts, by.split(a), by.split(b), strict=True)
        return by.of([SIMILARITIES[part.similarity](x, y) for part, x, y in pairs])
    return SIMILARITIES[by](a, b)


def among(by: By, embeddings: Tensor) -> Tensor:
    """Return the similarities [N, N] of vectors [N, D] with each other."""
    if isinstance(by, Weakest):
        parts = zip(by.parts, by.split(embeddings), strict=True)
        return by.of([_AMONG[part.similarity](own) for part, own in parts])
    return _AMONG[by](embeddings)


def written(by: By) -> tuple[str, dict[str, Tensor]]:
    """Return it as a word and tensors, for a file."""
    if not isinstance(by, Weakest):
        return by, {}
    scales = torch.tensor([(part.center, part.spread) for part in by.parts], dtype=torch.float64)
    return " ".join(f"{part.similarity}:{part.width}" for part in by.parts), {"scales": scales}


def read(word: str, scales: Tensor | None) -> By:
    """Return what `written` wrote."""
    if scales is None:
        return "l2" if word == "l2" else "cosine"
    parts = []
    for said, (center, spread) in zip(word.split(), scales.tolist(), strict=True):
        name, _, width = said.partition(":")
        parts.append(Part(int(width), "l2" if name == "l2" else "cosine", center, spread))
    return Weakest(tuple(parts))
