"""Randomized smoothing: votes over noisy copies of the input, and the L2 radius that they prove (Cohen et al., ICML 2019)."""

from statistics import NormalDist

import torch
from torch import Tensor

from raygrid.defenses.catalog_noise import Noise
from raygrid.defenses.catalog_smoothing import Smoothing
from raygrid.defenses.noise import Noisy
from raygrid.metrics.binomial import lower_bound
from raygrid.randomness import Draws
from raygrid.victims.victim import Victim


class Smoothed(Noisy):
    """The smoothed victim g(x): the class that the victim f most likely answers to x + N(0, sigma^2 I).

    `forward` is PREDICT of the paper: it gives an answer other than g(x), and not none, with a probability of alpha at most. Noisy
    copies leave the range of pixels: clipped, they would prove nothing.

    Raises:
        UsageError: the victim abstains itself.
    """

    def __init__(self, params: Smoothing, victim: Victim) -> None:
        noise = Noise(site="input", sigma=params.sigma, votes=params.votes, abstain=params.alpha)
        super().__init__(noise, victim)
        self.smoothing = params

    def certify(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the L2 radius within which g keeps each class, in units of pixels [B, classes] (CERTIFY of the paper).

        It is above 0 for one class at most: the one that wins n0 votes, where n others bound its probability above 1/2. A
        certificate is wrong with a probability of alpha at most. Each sample is proved by itself, whatever stands beside it.

        Args:
            x: pixels [B, C, H, W] in [0, 1].
            draws: the random numbers of this look at these samples.
        """
        # A class that is chosen by the votes that prove it would be proved too easily.
        choosing, proving = draws.copied([0]), draws.copied([1])
        top = self.votes(x, choosing, self.smoothing.n0).argmax(1, keepdim=True)
        count = self.votes(x, proving, self.smoothing.n).gather(1, top)
        least = lower_bound(count[:, 0].cpu().numpy(), self.smoothing.n, self.smoothing.alpha)
        radii = torch.tensor([[_radius(p, self.smoothing.sigma)] for p in least.tolist()], dtype=torch.float32)
        return torch.zeros(len(x), self.info.classes, device=x.device).scatter(1, top, radii.to(x.device))


def _radius(p: float, sigma: float) -> float:
    """sigma * Phi^-1(p), rounded down by more than float32 may round it up; 0 where p proves no majority."""
    return sigma * NormalDist().inv_cdf(p) * (1 - 1e-6) if p > 0.5 else 0.0
