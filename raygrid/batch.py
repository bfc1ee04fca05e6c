"""The samples of a unit, and what an attack on them follows: goal, constraint, channel, comparison and random numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from raygrid.channels.sound import Sound
from raygrid.component import resolve
from raygrid.constraints import Constraint
from raygrid.framing import Framing
from raygrid.goals import Goal, make_goal
from raygrid.medium import medium_of
from raygrid.oracle import Channel
from raygrid.randomness import Randomness
from raygrid.spec import AttackSpec
from raygrid.transcription import Hearing, hearing_of
from raygrid.verification import Enrolled, Match, References, match_of


@dataclass(frozen=True)
class Batch:
    """The samples of a unit, on the device."""

    ids: Sequence[str]
    x: Tensor
    """Clean inputs [N, C, H, W] in [0, 1]."""
    labels: Tensor
    """True classes [N]."""
    classes: int
    """Number of classes of the dataset."""
    references: References | None = None
    """Where faces are verified: the photos that each is compared with."""
    transcripts: Sequence[str | None] | None = None
    """Of sound: what is said, as far as that is known."""
    starts: Tensor | None = None
    """Where faces are verified and an attack starts from them: photos of the target person that an attacker may have
    [N, K, C, H, W]."""
    framing: Framing | None = None
    """Where photos are attacked, and victims see frames cut out of them: how each is cut."""

    def framed(self) -> "Batch":
        """Return it as victims see it."""
        if self.framing is None:
            return self
        frames = self.framing(self.x, torch.arange(len(self.ids), device=self.x.device))
        return replace(self, x=frames, framing=None, starts=None)

    def take(self, where: Sequence[int]) -> "Batch":
        """Return the samples at these positions."""
        index = torch.tensor(where, dtype=torch.long, device=self.x.device)
        references = None if self.references is None else self.references.take(where)
        transcripts = None if self.transcripts is None else [self.transcripts[i] for i in where]
        starts = None if self.starts is None else self.starts[index]
        ids = [self.ids[i] for i in where]
        framing = None if self.framing is None else self.framing.take(where)
        return Batch(ids, self.x[index], self.labels[index], self.classes, references, transcripts, starts, framing)


def goal_of(attack: AttackSpec, batch: Batch, seed: int) -> Goal:
    """Return the goal that an attack pursues on a batch: the same wherever it is asked."""
    return make_goal(attack.goal, batch.labels, batch.classes, attack.target, randomness_of(attack, batch, seed))


def constraint_of(attack: AttackSpec, batch: Batch) -> Constraint:
    """Return what an attack's examples must keep to: its ball, the box, its mask and its number of pixels."""
    medium, (channels, height, width) = medium_of(batch.x), (1, 1, *batch.x.shape[1:])[-3:]
    shape = (channels, height, width)
    pixels = attack.params.most_pixels(shape)
    constraint = Constraint(attack.norm or "linf", attack.eps, medium.low, medium.high, pixels=pixels)
    if attack.component.mask is None:
        return constraint
    mask: Tensor = resolve(attack.component.mask)(attack.params, batch.ids, shape)
    return replace(constraint, mask=mask.to(batch.x.device))


def channel_of(attack: AttackSpec, batch: Batch, seed: int) -> Channel | None:
    """Return what lies between an attack's examples and the victim. Its numbers are the samples' own, whatever the attack. Frames
    are cut out of photos last."""
    framing = framing_of(batch)
    if attack.channel is None:
        return framing
    build, params = resolve(attack.channel.component.build), attack.channel.params
    randomness = Randomness(seed, "channel", batch.ids)

    def channel(x: Tensor, index: Tensor, purpose: str) -> Tensor:
        seen: Tensor = build(params, x, randomness, purpose, index)
        return seen if framing is None else framing(seen, index, purpose)

    return channel


def framing_of(batch: Batch) -> Channel | None:
    """Return what cuts the frames of a batch's faces out of photos; None where the samples are what victims see."""
    framing = batch.framing
    return None if framing is None else lambda x, index, purpose: framing(x, index)


def plays_of(attack: AttackSpec, batch: Batch, seed: int, draws: int) -> list[dict[str, list[Any]]] | None:
    """Return what an attack's channel of sound draws for each of so many judgements, a mapping of columns for each sample; None
    where there is none."""
    if attack.channel is None:
        return None
    sound, params = resolve(attack.channel.component.build), attack.channel.params
    if not isinstance(sound, Sound):
        return None
    randomness, everyone = Randomness(seed, "channel", batch.ids), torch.arange(len(batch.ids))
    told = [
        sound.told(params, sound.draw(params, randomness, f"judge/{draw}", everyone, batch.x)) for draw in range(draws)
    ]
    named = {
        name: name if "." in name else f"{attack.channel.component.name}.{name}" for name in told[0]
    }  # as a chain's are
    return [{shown: [play[name][i] for play in told] for name, shown in named.items()} for i in range(len(batch.ids))]


def comparison_of(
    attack: AttackSpec, batch: Batch, model: object, enrolled: Enrolled | None = None, far: float | None = None
) -> Match | Hearing | None:
    """Return what makes a decision of a model's outputs, where these are no scores of classes: embeddings that are compared, or
    what is heard. None for a classifier.

    Args:
        attack: what faces the decision.
        batch: the samples.
        model: what answers.
        enrolled: the clean photos as the model knows them, where faces are verified.
        far: the false accept rate that sets its threshold.
    """
    if attack.transcribes:
        return hearing_of(attack, batch.transcripts or [None] * len(batch.ids), model)
    return match_of(attack, batch.references, enrolled, far)


def numbers_of(batch: Batch, seed: int) -> Randomness:
    """Return the numbers that a random defense draws for a batch: the samples' own, whatever the attack."""
    return Randomness(seed, "defense", batch.ids)


def randomness_of(attack: AttackSpec, batch: Batch, seed: int) -> Randomness:
    """Return the numbers that an attack draws for a batch: the samples' own."""
    return Randomness(seed, attack.component.name, batch.ids)
