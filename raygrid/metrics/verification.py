"""How well similarities of pairs of photos tell people apart: FAR, FRR, EER, AUC, and how far the people looked at carry.

Photos of one person are no independent samples, and neither are pairs that share a person: intervals come from leaving one person
out at a time (the jackknife; Efron & Stein 1981), and pairs of people are what a false accept rate can be resolved by. NumPy alone.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, log10, sqrt

import numpy as np

from raygrid.metrics.statistics import wilson

BINS = 4000
"""Steps of the similarity at which curves are counted for all but one person: an EER is off by less than one pair in each."""


@dataclass(frozen=True)
class Rate:
    """A share of pairs, with a 95 % interval over people."""

    num: int
    den: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share."""
        return self.num / self.den


@dataclass(frozen=True)
class Pairs:
    """All pairs of N photos of P people, or those that somebody listed.

    Attributes:
        similarity: of each pair, the upper triangle row by row: [N * (N - 1) / 2]; or of the listed ones [M].
        people: the person of each photo, 0..P-1: [N].
        listed: the two photos of each pair [M, 2]; None: all pairs.
    """

    similarity: np.ndarray
    people: np.ndarray
    listed: np.ndarray | None = None

    @cached_property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The people of each pair."""
        i, j = np.triu_indices(len(self.people), 1) if self.listed is None else self.listed.T
        return self.people[i], self.people[j]

    @cached_property
    def genuine(self) -> np.ndarray:
        """Which pairs show one person twice."""
        one, other = self.ends
        same: np.ndarray = one == other
        return same

    @property
    def impostors(self) -> np.ndarray:
        """Similarities of pairs of two people."""
        different: np.ndarray = self.similarity[~self.genuine]
        return different

    @property
    def pairs_of_people(self) -> int:
        """How many pairs of two people there are."""
        if self.listed is not None:
            return len(np.unique(np.sort(np.stack(self.ends, 1)[~self.genuine], axis=1), axis=0))
        count = len(np.unique(self.people))
        return count * (count - 1) // 2

    def far(self, threshold: float) -> Rate:
        """Return the false accept rate: the share of pairs of two people that are as similar as the threshold, or more."""
        return self._rate(~self.genuine, self.similarity >= threshold, self.pairs_of_people)

    def frr(self, threshold: float) -> Rate:
        """Return the false reject rate: the share of pairs of one person that are less similar than the threshold."""
        return self._rate(self.genuine, self.similarity < threshold, len(np.unique(self.ends[0][self.genuine])))

    def _rate(self, among: np.ndarray, hit: np.ndarray, clusters: int) -> Rate:
        """Return a share; Wilson's interval over as many independent pairs as have the variance that leaving people out shows."""
        hits = among & hit
        num, den = int(hits.sum()), int(among.sum())
        if not den:
            raise ValueError("there is no such pair: a rate needs two people, and two photos of one")
        share = num / den
        remain = den - self._of_each(among)
        left = (num - self._of_each(hits))[remain > 0] / remain[remain > 0]
        return Rate(num, den, *_interval(share, left, min(den, clusters), den))

    def _of_each(self, pairs: np.ndarray) -> np.ndarray:
        """Return how many of some pairs each person is part of [P]."""
        one, other = (end[pairs] for end in self.ends)
        counts = np.bincount(one, minlength=self._people)
        counts = counts + np.bincount(other[one != other], minlength=self._people)
        of_each: np.ndarray = counts[np.unique(self.people)]
        return of_each

    @property
    def _people(self) -> int:
        return int(self.people.max()) + 1

    @cached_property
    def eer(self) -> tuple[float, float, float]:
        """The equal error rate, where FAR and FRR meet, with a 95 % interval over people: Wilson's over as many independent tries
        as have the variance that leaving people out shows, and over the people where that shows none."""
        edges = np.unique(np.quantile(self.similarity, np.linspace(0, 1, BINS + 1)))
        place = np.searchsorted(edges, self.similarity, side="right")
        sides = (self.genuine, ~self.genuine)
        own, others = (np.bincount(place[side], minlength=len(edges) + 1) for side in sides)
        of_people = [self._histograms(place, side, len(edges) + 1) for side in sides]
        exact = equal_error_rate(self.similarity[self.genuine], self.impostors)
        left = [
            _eer_of(own - genuine, others - impostor)
            for genuine, impostor in zip(*of_people, strict=True)
            if (own - genuine).any() and (others - impostor).any()
        ]
        return exact, *_interval(exact, np.array(left), len(of_people[0]), int(self.genuine.sum()))

    def _histograms(self, place: np.ndarray, among: np.ndarray, bins: int) -> np.ndarray:
        """Return where the pairs of each person lie [P, bins]."""
        one, other = (end[among] for end in self.ends)
        found, different = np.zeros((self._people, bins), dtype=np.int64), one != other
        np.add.at(found, (one, place[among]), 1)
        np.add.at(found, (other[different], place[among][different]), 1)
        of_each: np.ndarray = found[np.unique(self.people)]
        return of_each


def _interval(share: float, left_out: np.ndarray, people: int, most: int) -> tuple[float, float]:
    """Return Wilson's interval of a share over as many independent tries, `most` at most, as have the variance that leaving people
    out shows; over `people` where it shows none: nobody knows then how large it is."""
    spread = _jackknife(left_out) if 0 < share < 1 else 0.0
    effective = min(share * (1 - share) / spread, float(most)) if spread > 0 else float(min(people, most))
    return wilson(share * effective, effective)


def _jackknife(left_out: np.ndarray) -> float:
    """Return the variance of a figure, given its values with one person left out each."""
    people = len(left_out)
    return float((people - 1) / people * ((left_out - left_out.mean()) ** 2).sum()) if people > 1 else 0.0


def threshold_at(impostors: np.ndarray, far: float) -> float:
    """Return the least threshold at which at most a share `far` of impostor similarities [M] are accepted.

    Raises:
        ValueError: no pairs, or `far` is no share.
    """
    if not len(impostors) or not 0 < far < 1:
        raise ValueError(f"a threshold needs impostor pairs and a FAR between 0 and 1, not {len(impostors)} and {far}")
    accepted = floor(far * len(impostors) + 1e-9)
    largest = np.sort(impostors)[::-1][accepted]
    return float(np.nextafter(np.float32(largest), np.float32(np.inf)))


def equal_error_rate(genuine: np.ndarray, impostors: np.ndarray) -> float:
    """Return the error rate at the threshold at which as many pairs of one person are rejected as of two are accepted, or as near
    as there is one: the mean of both rates there."""
    thresholds = np.unique(np.concatenate([genuine, impostors]))
    frr = np.searchsorted(np.sort(genuine), thresholds, side="left") / len(genuine)
    far = 1 - np.searchsorted(np.sort(impostors), thresholds, side="left") / len(impostors)
    at = int(np.abs(far - frr).argmin())
    return float((far[at] + frr[at]) / 2)


def _eer_of(genuine: np.ndarray, impostors: np.ndarray) -> float:
    """Return the equal error rate of histograms [bins] over ascending similarity."""
    frr = np.concatenate([[0], np.cumsum(genuine)]) / max(int(genuine.sum()), 1)
    far = 1 - np.concatenate([[0], np.cumsum(impostors)]) / max(int(impostors.sum()), 1)
    at = int(np.abs(far - frr).argmin())
    return float((far[at] + frr[at]) / 2)


def auc(genuine: np.ndarray, impostors: np.ndarray) -> float:
    """Return the probability that a pair of one person is more similar than one of two; ties count half (Mann & Whitney 1947)."""
    ranked = np.sort(impostors)
    below = np.searchsorted(ranked, genuine, side="left") + np.searchsorted(ranked, genuine, side="right")
    return float(below.mean() / (2 * len(impostors)))


def people_needed(far: float) -> int:
    """Return how many people have so many pairs that one of them is a share `far` or less."""
    pairs = ceil(1 / far - 1e-9)
    return ceil((1 + sqrt(1 + 8 * pairs)) / 2)


def _or_more(pairs: int) -> str:
    """Say which rate one of so many pairs is, rounded up to two digits; nothing where that is all of them."""
    if pairs < 2:
        return ""
    unit = 10.0 ** (floor(log10(1 / pairs)) - 1)
    return f", or a far of {ceil(1 / pairs / unit - 1e-9) * unit:.2g} or more"


def check_far(far: float, people: int, listed: int | None = None) -> str | None:
    """Say why a false accept rate can't be told from so many calibration people, or from so many listed pairs of two of them; None
    where it can."""
    if listed is not None:
        needed = ceil(1 / far - 1e-9)
        if listed >= needed:
            return None
        return (
            f"far {far:g} is less than one in the {listed} pairs of calibration people that the list has: photos of one pair are "
            f"no independent tries; it needs {needed} pairs{_or_more(listed)}"
        )
    needed = people_needed(far)
    if people >= needed:
        return None
    pairs = people * (people - 1) // 2
    return (
        f"far {far:g} is less than one in the {pairs} pairs of people that {people} calibration people make: photos of one pair "
        f"are no independent tries; it needs {needed} people{_or_more(pairs)}"
    )
