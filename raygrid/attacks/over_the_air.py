"""Commands that survive the way from a loudspeaker to a microphone (Yakura & Sakuma, IJCAI 2019).

What is played where is `rehearsal.py`'s business, which rooms are hard `room_search.py`'s.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from raygrid.attacks.rehearsal import Heard, Practice, listen, rehearse
from raygrid.attacks.room_search import note_losses, unseen
from raygrid.attacks.rows import rows, with_rows
from raygrid.channels.catalog_audio import Room
from raygrid.channels.device import band_mask
from raygrid.channels.room_bank import bank
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.sample_errors import SampleError

BETA_1, BETA_2, SMALL = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma & Ba, ICLR 2015). Its second moment is one number a clip here, not one a sample: power then goes where
the gradient is large, which is what a limit to the power asks for. At 9 dB, 27.2 to 28.5 of 30 judged rooms heard the phrase so
(means over six carriers and phrases, three searches of 1,000 steps), and 26.4 by Adam itself."""
GROWTH = 0.8
"""What is left of the way to full noise after each step in which more than half of the plays met the goal. The paper's code has
0.99, asks every fifth step, and goes to noise that drowns the carrier."""
LEAST = 0.03
"""Loss with which a room counts where the goal was met, or nearly: it is seen again now and then. Losses are those of a token."""
SPILL = 1e-8
"""Share of a perturbation's energy that may be cut off by the range of valid values, and so come to lie out of its band."""
CUTS = 60
"""Rounds at most until no more is cut off than that."""
OVERSHOOT = 1.8
"""A round moves what lies outside of the range this many times the way to its edge: 1 would do, and take more rounds."""
BELOW = 1e-6
"""Share by which the power stays below its limit, for the rounding of x + delta."""
TINY = 1e-30
"""Stands in for a root mean square of 0 in a quotient."""


def over_the_air(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    band: tuple[float, float] | None,
    rooms: int,
    noise: bool,
    noise_db: float,
    grown: bool,
    plays: int,
    sampling: Literal["loss", "uniform"],
    validation: int,
    every: int,
    starts: int,
    snr_db: float | None,
    steps: int,
    lr: float,
    decay: float,
    responses: str | None = None,
    resample_responses: bool = False,
) -> Tensor:
    """Minimize E_{h, w} [J(h * (x + δ) + w)] over δ of a band and a power (Yakura & Sakuma, IJCAI 2019, equation 7), by Adam with
    one step size for all of a clip.

    J is the goal's loss, for a transcription the negative log-likelihood of CTC; h are training rooms, w is noise. The point
    returned is chosen in validation rooms. Without band, rooms and noise this is the digital attack on recognizers (Carlini &
    Wagner, 2018) with a limit to the power.

    Args:
        oracle: the victim, with gradient access, and no channel.
        goal: what to reach.
        x: carriers [N, T] in the box, at 16 kHz.
        constraint: the box; other limits are this attack's own.
        randomness: of rooms and noise.
        band: Hz between which δ lies; None: anywhere.
        rooms: training rooms; 0: the sound itself is heard.
        noise: whether there is any.
        noise_db: SNR of the loudest.
        grown: whether it grows with success, or is as loud at once.
        plays: in each step, each in a room of its own.
        sampling: of rooms, by the loss last seen in each or uniformly.
        validation: number of validation rooms.
        every: steps between validations.
        starts: searches, each from nothing and through other rooms and noises; the best point of all is taken.
        snr_db: power of x over that of δ, at least, in dB; None: no limit.
        steps: of Adam.
        lr: step size at first, as a share of the root mean square of x; it falls to 0 along half a cosine.
        decay: share of δ that each step takes away.
        responses: measured ones, in the place of simulated rooms, as the channel `room` takes them; None: simulated ones.
        resample_responses: whether those at other rates than 16 kHz are fine.

    Returns:
        [N, T]: of each sample the point that met the goal in the most validation plays, of several the one of least loss. Where the
        budget ran out before any validation, the last one. Without rooms and noise, the first that meets the goal where that ends
        the search.

    Raises:
        SampleError: a carrier is silent, or too short for what is to be heard.
        ValueError: x holds no waveforms, or a room rings longer than a carrier.
    """
    if x.ndim != 2:
        raise ValueError(f"an attack over the air takes waveforms [N, T], one voice each, not {list(x.shape)}")
    loudness = x.double().square().mean(1, keepdim=True).sqrt()
    attacked = oracle.active(queries=0)
    if silent := attacked[loudness[attacked, 0] == 0].tolist():
        raise SampleError("the carrier is silent, and nothing can be hidden in it", silent)
    limits = Limits(constraint, band, None if snr_db is None else loudness * 10 ** (-snr_db / 20))
    growth = GROWTH if grown else None
    own = None if responses is None else Room(responses=responses, resample_responses=resample_responses)
    rooms = min(rooms, len(bank(own, "train"))) if own else rooms
    practice = Practice(randomness, rooms, noise, 10 ** (-noise_db / 20), growth, plays, validation, sampling, own)
    rate = (lr * loudness).to(x)
    best = Best(x.clone(), torch.full_like(x[:, 0], -1).long(), torch.full_like(x[:, 0], torch.inf))
    delta = torch.zeros_like(x)
    for start in range(starts if practice.varied else 1):
        delta = _search(
            oracle,
            goal,
            x,
            limits,
            replace(practice, start=start),
            best,
            steps=steps,
            every=every,
            rate=rate,
            decay=decay,
        )
    everyone = torch.arange(len(x), device=x.device)
    oracle.retire(everyone, 2 * best.exact > practice.validation)
    return torch.where((best.exact < 0)[:, None], x + delta, best.z)


def _search(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    limits: "Limits",
    practice: Practice,
    best: "Best",
    *,
    steps: int,
    every: int,
    rate: Tensor,
    decay: float,
) -> Tensor:
    """Search from no perturbation at all, and note points on the way. Returns the last perturbations [N, T]."""
    delta, moments = torch.zeros_like(x), Moments(torch.zeros_like(x), torch.zeros_like(x[:, :1]))
    last, successes = unseen(len(x), practice.rooms), torch.zeros(len(x), dtype=torch.long)
    for k, on in enumerate(oracle.rounds(steps, queries=practice.plays, gradients=practice.plays)):
        here, carrier, who = rows(delta, on), rows(x, on), on.cpu()
        scene = practice.step(k, who, rows(last, who), rows(successes, who), x.shape[1])
        query, heard = rehearse(oracle, goal, carrier + here, on, scene)
        if not practice.varied:  # what was heard now is what will be heard
            best.note(on, carrier + here, heard)
            going = oracle.retire(on, query.success)
            if going is not None and not len(going):
                break
            if going is not None:
                on, who, here, carrier = on[going], who[going.cpu()], here[going], carrier[going]
                query, heard = query._replace(gradient=query.gradient[going]), heard.of(going)
        if scene.rooms is not None:
            seen = note_losses(rows(last, who), scene.rooms, heard.losses.cpu().clamp_min(LEAST))
            last = with_rows(last, who, seen)
        successes = with_rows(successes, who, practice.louder(rows(successes, who), heard))

        g = query.gradient if limits.band is None else band_mask(query.gradient, *limits.band)
        pace = rows(rate, on) * (1 + math.cos(math.pi * k / steps)) / 2
        moved = (1 - decay) * here - pace * moments.direction(g, on, k)
        delta = with_rows(delta, on, limits.nearest(moved, carrier, on))
        if practice.varied and (k + 1) % every == 0 and k + 1 < steps:
            _validate(oracle, goal, x, delta, practice, best)
    _validate(oracle, goal, x, delta, practice, best)
    return delta


def _validate(oracle: Oracle, goal: Goal, x: Tensor, delta: Tensor, practice: Practice, best: "Best") -> None:
    """Play the examples of all that can still pay for it in validation rooms, and note which are the best so far."""
    on = oracle.active(queries=practice.validation)
    if len(on):
        z = rows(x, on) + rows(delta, on)
        best.note(on, z, listen(oracle, goal, z, on, practice.validating_plays(on.cpu(), x.shape[1])))


@dataclass(frozen=True)
class Moments:
    """Adam's running means for each sample; updated in place."""

    first: Tensor
    """Of the gradient [N, T]."""
    second: Tensor
    """Of its mean square [N, 1]."""

    def direction(self, g: Tensor, on: Tensor, k: int) -> Tensor:
        """Return where step k goes [B, T], of root mean square 1 about, after the gradients g [B, T] of the samples `on` [B]."""
        first = self.first[on] = BETA_1 * rows(self.first, on) + (1 - BETA_1) * g
        second = self.second[on] = BETA_2 * rows(self.second, on) + (1 - BETA_2) * g.square().mean(1, keepdim=True)
        return first / (1 - BETA_1 ** (k + 1)) / ((second / (1 - BETA_2 ** (k + 1))).sqrt() + SMALL)


@dataclass(frozen=True)
class Limits:
    """What a perturbation of a carrier keeps to."""

    constraint: Constraint
    """Its box."""
    band: tuple[float, float] | None
    """Hz; None: all."""
    most: Tensor | None
    """Largest root mean square [N, 1], float64; None: any."""

    def nearest(self, delta: Tensor, x: Tensor, on: Tensor) -> Tensor:
        """Return perturbations [B, T] of the carriers x [B, T], at the samples `on` [B], that keep to all: cut to the band, scaled
        down to the power, and moved until hardly anything of x + delta lies out of the box; that is cut off."""
        low, high = self.constraint.box
        delta = self._inside(delta, on)
        for _ in range(CUTS):
            beyond = x + delta - (x + delta).clamp(low, high)
            over = beyond.square().sum(1) > SPILL * delta.square().sum(1)
            if not bool(over.any()):
                break
            delta = torch.where(over[:, None], self._inside(delta - OVERSHOOT * beyond, on), delta)
        return (x + delta).clamp(low, high) - x

    def _inside(self, delta: Tensor, on: Tensor) -> Tensor:
        """Cut to the band, and scale down to the power."""
        delta = delta if self.band is None else band_mask(delta, *self.band)
        if self.most is None:
            return delta
        size = delta.double().square().mean(1, keepdim=True).sqrt()
        most = rows(self.most, on) * (1 - BELOW)
        return delta * (most / size.clamp_min(TINY)).clamp_max(1).to(delta)


@dataclass(frozen=True)
class Best:
    """The best point of each sample so far; updated in place."""

    z: Tensor
    """[N, T]."""
    exact: Tensor
    """[N], in how many plays it met the goal; -1 before any."""
    loss: Tensor
    """[N], the mean over these."""

    def note(self, on: Tensor, z: Tensor, heard: Heard) -> None:
        """Take points z [B, T] of the samples `on` [B] where they met the goal more often, or as often and at less loss."""
        exact, loss = heard.met.sum(1), heard.losses.mean(1)
        better = (exact > self.exact[on]) | (exact == self.exact[on]) & (loss < self.loss[on])
        where = on[better]
        self.z[where], self.exact[where], self.loss[where] = z[better], exact[better], loss[better]
