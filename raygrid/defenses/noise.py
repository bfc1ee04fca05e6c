"""Noise at the input or in hidden layers, and votes over its draws (Ukita & Ohki, Neural Networks 2023; at the input alone it is
the base of Cohen et al., ICML 2019; at every layer Liu et al., ECCV 2018)."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from raygrid.defenses.catalog_noise import Kind, Noise
from raygrid.defenses.defended import Defended, answer, soft_answer, some_draws
from raygrid.defenses.votes import never_none, poll, shares_or_none, tally
from raygrid.randomness import Draws
from raygrid.victims.ensemble_model import Several
from raygrid.victims.victim import Victim

AT_ONCE = 1 << 16
"""Values of a layer that the draws of one pass may have for each sample: as many whatever stands beside it, since numbers are
drawn pass by pass."""
PASS_VALUES = 1 << 18
"""Values of a layer in one pass on a CPU, unless the batch itself has more: it is passed on in parts, all these draws of some
samples each. Above 32 MB, which 32 digits of 40 draws each reach behind the first convolution of mnist-cnn, the C library asks the
system for fresh memory each time, and a digit takes 210 instead of 120 us."""

INPUT = "input"
"""The site before all layers."""
MANY = frozenset({"convolutions", "all"})
"""Sites that stand for layers of whatever victim there is."""


def _gaussian(h: Tensor, sigma: float, draws: Draws, what: str) -> Tensor:
    return draws.normal(what, h[:, 0], h.shape[1], sigma).add_(h)


def _uniform(h: Tensor, sigma: float, draws: Draws, what: str) -> Tensor:
    return draws.uniform(what, h[:, 0], h.shape[1]).mul_(2).sub_(1).mul_(sigma * math.sqrt(3)).add_(h)


def _laplace(h: Tensor, sigma: float, draws: Draws, what: str) -> Tensor:
    signed = 2 * draws.uniform(what, h[:, 0], h.shape[1]) - 1
    return h - sigma / math.sqrt(2) * signed.sign() * (-signed.abs().clamp_max(1 - 1e-7)).log1p()


def _poisson_like(h: Tensor, sigma: float, draws: Draws, what: str) -> Tensor:
    return h + sigma * h.abs().sqrt() * draws.normal(what, h[:, 0], h.shape[1])


def _multiplicative(h: Tensor, sigma: float, draws: Draws, what: str) -> Tensor:
    return h * (1 + sigma * draws.normal(what, h[:, 0], h.shape[1]))


def _dropout(h: Tensor, sigma: float, draws: Draws, what: str) -> Tensor:
    return h * (draws.uniform(what, h[:, 0], h.shape[1]) >= sigma) / (1 - sigma)


NOISES: dict[Kind, Callable[[Tensor, float, Draws, str], Tensor]] = {
    "gaussian": _gaussian,
    "uniform": _uniform,
    "laplace": _laplace,
    "poisson-like": _poisson_like,
    "multiplicative": _multiplicative,
    "dropout": _dropout,
}
"""(values [B, copies, ...], sigma, draws, what they are for) -> values with noise."""


def build(params: Noise, victim: Victim, fitted: Mapping[str, Tensor] | None = None) -> Victim:
    """Put noise into a victim, or, at sites that every victim has, into each member of an ensemble.

    Raises:
        UsageError: there is no such layer, or the victim abstains already and is to do so again.
    """
    if (
        isinstance(victim.model, Several)
        and params.site in MANY
        and params.unit == "absolute"
        and params.abstain is None
    ):
        return NoisyMembers(params, victim, victim.model)
    return Noisy(params, victim, fitted)


class Noisy(Defended):
    """A victim with noise inside, every look put to the vote of so many draws. Behind a layer whose values are never negative,
    they stay so. Noisy inputs may leave the range of pixels, as in the source.

    With `abstain`, the last column of its logits stands for no answer.

    Raises:
        UsageError: there is no such layer, or the victim abstains already and is to do so again.
    """

    def __init__(self, params: Noise, victim: Victim, fitted: Mapping[str, Tensor] | None = None) -> None:
        if params.needs_fit() and fitted is None:
            raise ValueError(f"sigma is relative to the {params.unit} of layers that nobody has measured")
        super().__init__(victim, random=params.draws_at_random(), abstains=params.may_abstain())
        self.params = params
        layers = _layers(params, victim)
        self.places = {victim.layers.place(layer): victim.layers.rectified(layer) for layer in layers}
        names = {victim.layers.place(layer): layer for layer in layers} or {0: INPUT}
        self.sigmas = {place: params.sigma * (float(fitted[name]) if fitted else 1.0) for place, name in names.items()}

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the logits [B, classes] of pixels [B, C, H, W]: logarithms of the shares of votes, or of mean probabilities."""
        draws = draws or some_draws(len(x))
        if not self.params.draws_at_random():
            return answer(self.victim, x, draws)
        if self.params.abstain is not None:
            return shares_or_none(self.votes(x, draws, self.params.votes), self.params.abstain)
        copies = self._copies(x, draws, self.params.votes, answer)
        return copies[:, 0] if self.params.votes == 1 else poll(self.params.vote, self.info.task)(copies)

    def votes(self, x: Tensor, draws: Draws, votes: int) -> Tensor:
        """Return how many of so many draws vote for each class [B, classes], as whole numbers; no more than a pass is in memory."""
        counts = torch.zeros((len(x), self.info.classes), dtype=torch.long, device=x.device)
        for logits in self._passes(x, draws, votes, answer):
            counts += tally(logits)
        return counts

    def soft(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the logits [B, classes] of pixels [B, C, H, W] at one draw of the noise."""
        draws = draws or some_draws(len(x))
        if not self.params.draws_at_random():
            return soft_answer(self.victim, x, draws)
        logits = self._copies(x, draws, 1, soft_answer)[:, 0]
        return never_none(logits) if self.params.may_abstain() else logits

    def _copies(self, x: Tensor, draws: Draws, votes: int, ask: Callable[[Victim, Tensor, Draws], Tensor]) -> Tensor:
        """Return the logits [B, votes, classes] of so many draws."""
        logits = list(self._passes(x, draws, votes, ask))
        return torch.cat(logits, dim=1) if len(logits) > 1 else logits[0]

    def _passes(
        self, x: Tensor, draws: Draws, votes: int, ask: Callable[[Victim, Tensor, Draws], Tensor]
    ) -> Iterator[Tensor]:
        """Yield the logits [B, copies, classes] of so many draws, pass by pass."""
        first = min(self.places, default=0)
        h = self.victim.layers.run(self.victim.inside(x, draws), 0, first) if self.places else x
        values = math.prod(h.shape[1:])
        most = max(1, AT_ONCE // values)
        # A victim that brings small pictures to its native size has so many values of each.
        seen = values if self.places else max(values, h.shape[1] * self.info.native**2)
        for start in range(0, votes, most):
            size = min(most, votes - start)
            group = len(x) if x.is_cuda else max(1, max(len(x), PASS_VALUES // seen) // size)
            parts = zip(torch.split(h, group), draws.split(group), strict=True) if group < len(x) else [(h, draws)]
            logits = [self._pass(part, first, numbers, start, size, ask) for part, numbers in parts]
            yield torch.cat(logits) if len(logits) > 1 else logits[0]

    def _pass(
        self,
        h: Tensor,
        first: int,
        draws: Draws,
        start: int,
        size: int,
        ask: Callable[[Victim, Tensor, Draws], Tensor],
    ) -> Tensor:
        """Return the logits [B, size, ...] of values h [B, ...] of the first site at the draws from `start` on."""
        z = self._noise(h[:, None].expand(-1, size, *h.shape[1:]), first, draws, start)
        if self.places:
            logits = self._rest(z, first, draws, start)
        else:
            logits = ask(self.victim, z.flatten(0, 1), draws.copied(range(start, start + size)))
        return logits.view(len(h), size, *logits.shape[1:])

    def _rest(self, z: Tensor, place: int, draws: Draws, start: int) -> Tensor:
        """Return the logits [B * copies, classes] that follow from the values z [B, copies, ...] at a place."""
        layers, shape = self.victim.layers, z.shape[:2]
        for stop in (*[other for other in self.places if other > place], None):
            z = z.clamp_min_(0) if self.places[place] else z
            h = layers.run(z.flatten(0, 1), place, stop)
            if stop is None:
                break
            place, z = stop, self._noise(h.view(*shape, *h.shape[1:]), stop, draws, start)
        return h

    def _noise(self, h: Tensor, place: int, draws: Draws, start: int) -> Tensor:
        return NOISES[self.params.kind](h, self.sigmas[place], draws, f"{place}/{start}")


class NoisyMembers(Defended):
    """An ensemble with noise inside each of its members, which draw for themselves: each puts its own draws to the vote."""

    def __init__(self, params: Noise, victim: Victim, several: Several) -> None:
        super().__init__(victim, random=params.draws_at_random())
        self.several = several
        self.noisy = nn.ModuleList(Noisy(params, member) for member in several.victims)

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the outputs [B, classes] of all members together for pixels [B, C, H, W]."""
        draws = draws or some_draws(len(x))
        return self._joined(self.victim.inside(x, draws), draws, answer)

    def soft(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return them at one draw of the noise."""
        draws = draws or some_draws(len(x))
        return self._joined(self.victim.softly_inside(x, draws), draws, soft_answer)

    def _joined(self, x: Tensor, draws: Draws, ask: Callable[[Victim, Tensor, Draws], Tensor]) -> Tensor:
        outputs = []
        for member in self.noisy:
            outputs.append(ask(cast(Noisy, member), x, draws))
            draws = draws.behind()
        return self.several.joined(outputs)


def measure(params: Noise, victim: Victim, x: Tensor, micro_batch: int | None) -> dict[str, Tensor]:
    """Measure what sigma is relative to, on clean pixels x [N, C, H, W]: a number for the input, or for each layer."""
    parts = torch.split(x, micro_batch or len(x))
    names = _layers(params, victim)
    if not names:
        return {INPUT: _scale(params, list(parts))}
    with torch.no_grad():
        return {name: _scale(params, [victim.features(part, name) for part in parts]) for name in names}


def _scale(params: Noise, parts: Sequence[Tensor]) -> Tensor:
    """Return the mean magnitude or the standard deviation of all values of a layer, summed up in float64."""
    values = torch.cat([part.flatten() for part in parts]).double()
    return (values.abs().mean() if params.unit == "mean" else values.std()).float()


def _layers(params: Noise, victim: Victim) -> list[str]:
    """Return the hidden layers that get noise; none where the input does."""
    if params.site == "all":
        return victim.layers.all()
    if params.site == "convolutions":
        return victim.layers.convolutions()
    return [] if params.site == INPUT else [params.site]
