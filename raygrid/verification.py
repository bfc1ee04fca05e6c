"""Faces as a victim compares them: embeddings, thresholds, and what turns an embedding into the scores of a two-class decision.

A trial of verification is one photo against one person, and the victim's decision has two classes, NO_MATCH and MATCH. Attacks see
the scores of that decision over the photos that the attacker knows (`Match`), and so need to know nothing of faces; examples are
judged by the person's other photos, each of which is a draw.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from raygrid.enrollment import MATCH
from raygrid.goals import Goal
from raygrid.judge import Look, Verdict
from raygrid.metrics.verification import Pairs, threshold_at
from raygrid.outputs import Outputs, run_model
from raygrid.randomness import Randomness
from raygrid.similarity import By, Weakest, among, compare, read, written
from raygrid.spec import AttackSpec, Combine

TINY = 1e-30
"""Lead of a similarity that is equal to the threshold: all that tells two equal scores from each other."""
SHARPNESS = 20.0
"""By how much a similarity that is 1 lower weighs more, in powers of e, where the photos of a person are weighted."""


def _weighted(leads: Tensor) -> Tensor:
    weights = (-SHARPNESS * leads.detach()).softmax(-1)
    return (weights * leads).sum(-1)


COMBINATIONS: dict[Combine, Callable[[Tensor], Tensor]] = {
    "mean": lambda leads: leads.mean(-1),
    "worst": lambda leads: leads.amin(-1),
    "weighted": _weighted,
}
"""From how far each of the known photos [..., k] is on the attacker's side, to one number [...]."""


@dataclass(frozen=True)
class References:
    """Which photos each of N samples is compared with, by id."""

    target_known: Sequence[Sequence[str]]
    """Photos of the target person that an attacker may have."""
    target_judged: Sequence[Sequence[str]]
    """Photos of the target person that judge."""
    own_known: Sequence[Sequence[str]]
    """Other photos of the same person, likewise."""
    own_judged: Sequence[Sequence[str]]

    def take(self, where: Sequence[int]) -> "References":
        """Return those of the samples at these positions."""
        return References(*([column[i] for i in where] for column in vars(self).values()))

    def of(self, attack: AttackSpec) -> tuple[list[Sequence[str]], Sequence[Sequence[str]]]:
        """Return the photos [N, k] that the attacker knows, and those [N, P] that judge."""
        known, judged = (
            (self.own_known, self.own_judged) if attack.goal == "dodge" else (self.target_known, self.target_judged)
        )
        return [photos[: attack.photos] for photos in known], judged


@dataclass(frozen=True)
class Enrolled:
    """What a victim behind its defense said of all clean photos."""

    embeddings: Tensor
    """[P, D]."""
    ids: tuple[str, ...]
    """Of the photos [P]."""
    impostors: Tensor
    """Similarities of pairs of two people among those set apart for calibration [M]."""
    similarity: By

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """Photo -> its row."""
        return {photo: row for row, photo in enumerate(self.ids)}

    def threshold(self, far: float) -> float:
        """Return the least threshold at which at most a share `far` of the calibration's impostor pairs are accepted."""
        return threshold_at(self.impostors.cpu().numpy(), far)

    def of(self, photos: Sequence[Sequence[str]]) -> Tensor:
        """Return the embeddings [N, K, D] of K photos for each of N samples."""
        return self.embeddings[torch.tensor([[self.rows[photo] for photo in some] for some in photos])]

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it as tensors, for a file."""
        word, scales = written(self.similarity)
        names = torch.frombuffer(bytearray(json.dumps([word, *self.ids]).encode()), dtype=torch.uint8)
        return {"embeddings": self.embeddings, "impostors": self.impostors, "names": names, **scales}

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor]) -> "Enrolled":
        """Return what `tensors` made."""
        word, *ids = json.loads(bytes(tensors["names"].cpu().numpy()))
        return cls(tensors["embeddings"], tuple(ids), tensors["impostors"], read(word, tensors.get("scales")))


def enroll(
    model: Callable[[Tensor], Tensor],
    x: Tensor,
    ids: Sequence[str],
    calibration: Sequence[bool],
    people: Sequence[int],
    similarity: By,
    micro_batch: int | None = None,
    numbers: Randomness | None = None,
    listed: Sequence[tuple[int, int]] | None = None,
) -> Enrolled:
    """Embed all photos once, as a system does that keeps what it was shown at enrollment.

    Args:
        model: photos -> embeddings, behind its defense; one that draws at random draws once, the draw `judge/0` of each photo.
        x: photos [P, C, H, W].
        ids: of the photos.
        calibration: which of them set the thresholds.
        people: whom they show.
        similarity: what the model's embeddings are compared by; the scales of several that must agree are set on the calibration.
        micro_batch: photos in one pass.
        numbers: of the photos.
        listed: the pairs of photos that set the thresholds; None: all of those people.

    Raises:
        ValueError: the model fails on a photo: each is somebody's reference; or an embedder tells nobody from anybody.
    """
    outputs = run_model(model, x, 1, micro_batch, numbers=numbers)  # a row of no columns would count as finite
    failed = {ids[i]: why for i in range(len(ids)) if (why := outputs.why(i)) is not None}
    if failed:
        photo, why = next(iter(failed.items()))
        raise ValueError(f'the victim fails on {len(failed)} of {len(ids)} clean photos; on "{photo}": {why}')
    chosen = [i for i, apart in enumerate(calibration) if apart]
    embeddings, whom = outputs.logits[chosen], [people[i] for i in chosen]
    if isinstance(similarity, Weakest):
        similarity = similarity.standardized(embeddings, whom)
    pairs = (
        all_pairs(embeddings, whom, similarity)
        if listed is None
        else listed_pairs(outputs.logits, people, similarity, listed)
    )
    return Enrolled(outputs.logits, tuple(ids), torch.from_numpy(pairs.impostors), similarity)


def all_pairs(embeddings: Tensor, people: Sequence[int], similarity: By) -> Pairs:
    """Return the similarities of all pairs of embeddings [N, D] of some people."""
    table = among(similarity, embeddings)
    upper = np.triu_indices(len(embeddings), 1)
    numbers = np.unique(np.array(people), return_inverse=True)[1]
    return Pairs(table.cpu().numpy()[upper], numbers)


def listed_pairs(embeddings: Tensor, people: Sequence[int], similarity: By, listed: Sequence[tuple[int, int]]) -> Pairs:
    """Return the similarities of listed pairs [M] of embeddings [N, D] of some people."""
    ends = torch.tensor(listed, dtype=torch.long)
    one, other = (embeddings[side.to(embeddings.device)] for side in ends.T)
    numbers = np.unique(np.array(people), return_inverse=True)[1]
    return Pairs(compare(similarity, one, other[:, None])[:, 0].cpu().numpy(), numbers, ends.numpy())


@dataclass(frozen=True)
class Match:
    """The decision of a victim on N samples: whether each shows the person of its references."""

    known: Tensor
    """Embeddings of the photos that the attacker has [N, k, D]."""
    judged: Tensor
    """Embeddings of those that judge [N, P, D]."""
    judged_ids: Sequence[Sequence[str]]
    known_ids: Sequence[Sequence[str]]
    threshold: float
    similarity: By
    combine: Combine
    hides: bool
    """Whether the attacker wants to be told from the person, and not to be taken for him."""

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Return the scores [B, 2] of NO_MATCH and MATCH with the known photos, for embeddings [B, D] of the samples at `index`."""
        leads = compare(self.similarity, embeddings, self.known[index]) - self.threshold
        lead = -COMBINATIONS[self.combine](-leads) if self.hides else COMBINATIONS[self.combine](leads)
        return _scores(lead)

    def judged_by(self, outputs: Outputs) -> Outputs:
        """Return the scores of the decisions over the photos that judge, each a draw of its own at each draw of the outputs."""
        return self._decided(outputs, self.judged)

    def told(self, verdicts: list[Verdict], goal: Goal, clean: Outputs, outputs: Outputs) -> list[Verdict]:
        """Return the verdicts with similarities, and with what became of the photos that the attacker had.

        Args:
            verdicts: of the N samples, by the photos that judge.
            goal: of the samples.
            clean: the model's embeddings of clean photos.
            outputs: its embeddings of the examples.
        """
        judged = self._looks(goal, clean, outputs, self.judged, self.judged_ids)
        known = self._looks(goal, clean, outputs, self.known, self.known_ids)
        return [
            self._told(verdict, ours, [look for look in theirs if look.photo not in ids])
            if verdict.prediction is not None
            else verdict
            for verdict, ours, theirs, ids in zip(verdicts, judged, known, self.judged_ids, strict=True)
        ]

    @property
    def probe_known(self) -> bool:
        """Whether the photos that judge are among those that the attacker has."""
        return all(set(judged) <= set(known) for judged, known in zip(self.judged_ids, self.known_ids, strict=True))

    def _told(self, verdict: Verdict, judged: Sequence[Look], others: Sequence[Look]) -> Verdict:
        """Return a verdict with the looks at the photos that judge, and at others that the attacker had."""
        looks = (*judged, *others)
        known = [look for look in looks if look.known]
        return replace(
            verdict,
            looks=looks,
            similarity=_mean(look.similarity for look in judged),
            clean_similarity=_mean(look.clean_similarity for look in judged),
            known_draws=len(known),
            known_fooled=sum(look.fooled for look in known),
        )

    def _decided(self, outputs: Outputs, photos: Tensor) -> Outputs:
        each = outputs.logits[None] if outputs.each is None else outputs.each
        if (
            each.shape[-1] != photos.shape[-1]
        ):  # the model failed on every sample, and nobody knows how wide its answers are
            each = each.new_full((*each.shape[:-1], photos.shape[-1]), float("nan"))
        leads = compare(self.similarity, each, photos) - self.threshold  # [draws, N, P]
        scores = _scores(leads).permute(0, 2, 1, 3).flatten(0, 1)
        if len(scores) == 1:
            return Outputs(scores[0], outputs.errors, alarms=outputs.alarms)
        return Outputs(scores.mean(0), outputs.errors, scores, outputs.alarms)

    def _looks(
        self,
        goal: Goal,
        clean: Outputs,
        outputs: Outputs,
        photos: Tensor,
        ids: Sequence[Sequence[str]],
    ) -> list[tuple[Look, ...]]:
        """Return the looks at each of N samples, photo by photo at every draw."""
        before, after = (self._decided(some, photos) for some in (clean, outputs))
        pairs = [some.logits[None] if some.each is None else some.each for some in (before, after)]
        columns = [
            torch.stack([goal.success(scores) for scores in pairs[1]]).T.tolist(),
            torch.stack([goal.margin(scores) for scores in pairs[1]]).T.tolist(),
            *(scores.argmax(2).T.tolist() for scores in pairs),
            *((scores[..., MATCH] + self.threshold).T.tolist() for scores in pairs),
        ]
        return [
            tuple(
                Look(
                    fooled=fooled,
                    prediction=answer,
                    margin=margin,
                    clean_prediction=clean_answer,
                    photo=own[draw % len(own)],
                    known=own[draw % len(own)] in known,
                    play=draw // len(own),
                    similarity=similarity,
                    clean_similarity=clean_similarity,
                )
                for draw, (fooled, margin, clean_answer, answer, clean_similarity, similarity) in enumerate(
                    zip(*rows, strict=True)
                )
            )
            for own, known, *rows in zip(ids, self.known_ids, *columns, strict=True)
        ]


def _scores(leads: Tensor) -> Tensor:
    """Return the scores [..., 2] of NO_MATCH and MATCH, given by how much similarities [...] exceed the threshold; 0 matches."""
    leads = leads + TINY * (leads == 0)
    return torch.stack([-leads, leads], dim=-1)


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


def match_of(
    attack: AttackSpec, references: References | None, enrolled: Enrolled | None, far: float | None
) -> Match | None:
    """Return the decision that an attack faces on a model of which these photos were enrolled; None where nobody is compared."""
    if references is None or enrolled is None or far is None:
        return None
    known, judged = references.of(attack)
    return Match(
        known=enrolled.of(known),
        judged=enrolled.of(judged),
        judged_ids=judged,
        known_ids=known,
        threshold=enrolled.threshold(far),
        similarity=enrolled.similarity,
        combine=attack.combine,
        hides=attack.goal == "dodge",
    )
