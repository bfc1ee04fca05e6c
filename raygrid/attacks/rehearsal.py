"""Where an attack on what is heard rehearses: rooms and noises of its own, several plays of a sample side by side, and what came
of them."""

from dataclasses import dataclass
from typing import Literal

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from raygrid.attacks.room_search import Curriculum, choose_rooms
from raygrid.channels.catalog_audio import Room
from raygrid.channels.noise import PINK_FROM, added
from raygrid.channels.room import reverberated
from raygrid.channels.room_bank import Bank, bank
from raygrid.channels.sound import RATE
from raygrid.goals import Goal
from raygrid.oracle import GradientQuery, Oracle
from raygrid.randomness import Randomness
from raygrid.sight import Sight

COLORS = (0.0, 1.5)
"""Noise of power 1 / f^a above 20 Hz; a play's a lies between these, uniformly: white is 0, pink 1."""
SOFTER = 10.0
"""A play's noise is up to so many dB softer than the loudest, uniformly. 28.1 of 30 judged rooms heard the phrase with it, and 25.6
with 20 dB (means over six carriers and phrases, 1,000 training rooms, 1,400 steps)."""


@dataclass(frozen=True)
class Plays:
    """K plays of each of B samples."""

    count: int
    """K."""
    bank: Bank | None
    """The rooms; None: the sound itself is heard."""
    rooms: Tensor | None
    """Which [B, K], on the CPU."""
    noise: Tensor | None
    """[B, K, T] on the CPU, as a share of the root mean square of what is heard; None: none."""

    def heard(self, z: Tensor, at: Tensor) -> Tensor:
        """Return what is heard [b * K, T] of the samples at positions `at` [b], played as z [b, T]. Differentiable in z."""
        if self.bank is None or self.rooms is None:
            y = z[:, None].expand(-1, self.count, -1)
        else:
            y = reverberated(z[:, None], self.bank.responses[self.rooms[at.cpu()]].to(z))
        if self.noise is not None:
            loudness = torch.linalg.vector_norm(y.detach(), dim=-1, keepdim=True) / z.shape[1] ** 0.5
            y = added(y, self.noise[at.cpu()].to(y), loudness)
        return y.flatten(0, 1)


@dataclass(frozen=True)
class Heard:
    """What came of K plays of each of B samples."""

    losses: Tensor
    """[B, K]."""
    met: Tensor
    """[B, K] bool."""

    def of(self, some: Tensor) -> "Heard":
        """Return what came of the samples where `some` [B] is true."""
        return Heard(self.losses[some], self.met[some])


@dataclass(frozen=True)
class Practice:
    """What an attack plays its examples through before it is judged elsewhere."""

    randomness: Randomness
    rooms: int
    """Training rooms; 0: the sound itself is heard."""
    noise: bool
    """Whether there is noise."""
    full: float
    """Standard deviation of the loudest, as a share of the root mean square of what is heard."""
    growth: float | None
    """What is left of the way there after each success; None: it is as loud from the first step on."""
    asked: int
    """Plays a step, where they differ."""
    validating: int
    """Plays of a validation, and its rooms."""
    sampling: Literal["loss", "uniform"]
    """How training rooms are drawn."""
    measured: Room | None = None
    """Where the rooms are measured ones; None: they are simulated."""
    start: int = 0
    """Number of the search: each has rooms and noises of its own."""

    @property
    def varied(self) -> bool:
        """Whether one play differs from another."""
        return self.rooms > 0 or self.noise

    @property
    def plays(self) -> int:
        """Plays a step."""
        return self.asked if self.varied else 1

    @property
    def validation(self) -> int:
        """Plays of a validation."""
        return self.validating if self.varied else 1

    def louder(self, successes: Tensor, heard: Heard) -> Tensor:
        """Return the successes [B] after a step."""
        return Curriculum().after(successes, heard.met.cpu())

    def loudest(self, successes: Tensor) -> Tensor:
        """Return the standard deviation of the loudest noise [B] after so many successes [B]."""
        if self.growth is None:
            return torch.full(successes.shape, self.full)
        return Curriculum(self.full, self.growth).std(successes)

    def step(self, k: int, who: Tensor, last: Tensor, successes: Tensor, length: int) -> Plays:
        """Draw the plays of a step.

        Args:
            k: its number.
            who: positions of the samples [B], on the CPU.
            last: the loss that each last had in each training room [B, R].
            successes: of each so far [B].
            length: of the clips, T.
        """
        chosen = rooms = None
        craft = f"craft/start-{self.start}" if self.start else "craft"
        if self.rooms:
            rooms = bank(self.measured or Room(train=self.rooms), "train")
            u = self.randomness.uniform(f"{craft}/{k}/rooms", who, torch.empty(1, self.plays))
            order = self.randomness.uniform(f"{craft}/order", who, torch.empty(1, self.rooms))
            by_loss = self.sampling == "loss"
            chosen = choose_rooms(last, u, order) if by_loss else (u * self.rooms).long().clamp_max(self.rooms - 1)
        std = self.loudest(successes)
        return Plays(self.plays, rooms, chosen, self._noise(f"{craft}/{k}/noise", who, self.plays, length, std))

    def validating_plays(self, who: Tensor, length: int) -> Plays:
        """Return the plays that compare points: the same each time, one a validation room (again and again, where fewer were
        measured), in full noise."""
        chosen = rooms = None
        if self.rooms:
            rooms = bank(self.measured or Room(validation=self.validating), "validation")
            chosen = torch.arange(self.validation).remainder(len(rooms.responses)).expand(len(who), -1)
        std = torch.full((len(who),), self.full)
        return Plays(self.validation, rooms, chosen, self._noise("validate/noise", who, self.validation, length, std))

    def _noise(self, purpose: str, who: Tensor, plays: int, length: int, std: Tensor) -> Tensor | None:
        """Return Gaussian noise [B, K, T], of another color and level each play."""
        if not self.noise:
            return None
        n = next_fast_len(length, real=True)
        parts = self.randomness.normal(purpose, who, torch.empty(1, plays, n + 2))
        u = self.randomness.uniform(f"{purpose}/color", who, torch.empty(1, plays, 2))
        f = torch.fft.rfftfreq(n, 1 / RATE).clamp_min(PINK_FROM)
        exponent = COLORS[0] + (COLORS[1] - COLORS[0]) * u[..., :1]
        shape = torch.exp(-exponent / 2 * f.log())
        shape = shape / (2 * shape.square().mean(-1, keepdim=True)).sqrt()
        level = std[:, None, None] * 10 ** (-SOFTER / 20 * u[..., 1:])
        spectrum = torch.view_as_complex(parts.view(len(who), plays, -1, 2)) * (shape * level)
        noise: Tensor = torch.fft.irfft(spectrum, n, norm="ortho")[..., :length]
        return noise


def rehearse(oracle: Oracle, goal: Goal, z: Tensor, on: Tensor, plays: Plays) -> tuple[GradientQuery, Heard]:
    """Play z [B, T] of the samples `on` [B], in ascending order; K passes each.

    Returns:
        The mean of the losses of a sample's plays with its gradient, and what came of each play.
    """
    losses = z.new_zeros(len(on), plays.count)
    met = torch.zeros(len(on), plays.count, dtype=torch.bool, device=z.device)

    def loss(sight: Sight, z: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        at = torch.searchsorted(on, positions)
        outputs = sight.logits(plays.heard(z, at))
        each = goal.at(positions.repeat_interleave(plays.count))
        cost = each.loss(outputs).view(-1, plays.count)
        losses[at], met[at] = cost.detach(), each.met(outputs.detach()).view(-1, plays.count)
        return cost.mean(1), met[at].all(1)

    query = oracle.differentiate(loss, z, on, plays.count)
    return query, Heard(losses, met)


def listen(oracle: Oracle, goal: Goal, z: Tensor, on: Tensor, plays: Plays) -> Heard:
    """Play z [B, T] without asking for gradients; K passes each."""
    index = on.repeat_interleave(plays.count)
    outputs = oracle(plays.heard(z, torch.arange(len(on), device=on.device)), index)
    each = goal.at(index)
    return Heard(each.loss(outputs).view(-1, plays.count), each.met(outputs).view(-1, plays.count))
