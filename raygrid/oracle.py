"""The attacker's only view of a victim: enforces access and per-sample budget, counts passes, keeps the active set."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from raygrid.batch_sizes import in_few_sizes
from raygrid.component import ACCESS_ORDER, Access
from raygrid.goals import Goal, LossName
from raygrid.ledger import Ledger
from raygrid.randomness import Draws, Randomness
from raygrid.sample_errors import finite, require_finite
from raygrid.sight import Insight, Loss, Sight
from raygrid.spec import Budget

EXACT_SHARE = 0.25
"""Of an attack's steps, the last, that are in float32 where the others are in 16 bits. Of 24 photos that EfficientNet-Lite0 holds
against 40 steps of PGD, 22 were left a larger margin by 16 bits alone than by float32, 19 where the last tenth of the steps was
exact, and 12 where the last quarter was, as many as a coin would."""
NEARLY = 2.0**-7
"""Margins of 16 bits, as a share of the largest score, below which float32 may find the goal met. Those of EfficientNet-Lite0 in
float16 are off by up to a third of it."""
Channel = Callable[[Tensor, Tensor, str], Tensor]
"""What lies between examples and a victim: (x [B, C, H, W], index [B], purpose) -> what the victim sees of them, [B, C, H, W]."""
Readout = Callable[[Tensor, Tensor], Tensor]
"""What makes logits of a victim's outputs, which hang on the sample: (outputs [B, ...], index [B]) -> [B, classes]."""


class AccessDeniedError(RuntimeError):
    """An attack asked for more than its access allows."""


class Query(NamedTuple):
    """What one look at the victim told about samples [B]."""

    loss: Tensor
    """[B]; lower is closer to success."""
    success: Tensor
    """[B] bool."""


class GradientQuery(NamedTuple):
    """A look that also gave the gradient of the loss."""

    loss: Tensor
    success: Tensor
    gradient: Tensor
    """[B, C, H, W]."""


class Oracle:
    """A victim as an attack sees it.

    Args:
        victim: pixels [B, C, H, W] -> logits [B, classes].
        samples: how many samples the attack has, N; `index` arguments are positions in 0..N-1.
        access: the most that may be asked.
        budget: the most that may be spent on a sample.
        micro_batch: samples in one pass at most; None: all at once.
        stop_early: whether a sample that was broken costs nothing more. Off for examples that are to transfer, and in benchmarks.
        skip: [N] bool, samples that are not to be attacked at all.
        eot: passes that each look consists of, averaged (Athalye et al., ICML 2018): for victims that answer at random, and for
            channels.
        channel: what lies between the examples and the victim. Draw d of a sample's look number k, from 0, has the purpose
            `craft/k/d`, whatever stands beside the sample; one that an index names twice is seen twice in the same way.
        numbers: of the samples, for a victim that takes those of each look (`random`); they have the same purposes.
        device: where the samples are.
        readout: what makes logits of the victim's outputs, where these are none: embeddings that are compared, say.
        mixed: the victim in 16 bits, which `gradient` asks in its stead, but for the last of an attack's `rounds`; see
            `raygrid/victims/mixed.py`. What succeeds there, or nearly so, is looked at once more in float32, and succeeds if it
            does so there; a sample whose gradient is not finite, or zero throughout, is asked in float32 as well. These looks are
            not the attacker's, and are not counted.
        starts: [N, S, C, H, W], inputs that the attacker has and that may meet the goal: photos of a person to be taken for.
        stands_in: whether what is asked stands in for what judges, as known photos of a person do for others: an example that is
            nearer to the clean input than it need be gains nothing then.

    A defended victim that has one is asked for gradients of its `soft` form, see `raygrid/defenses/defended.py`.

    Attributes:
        zero_gradients: looks at which a sample's gradient was zero throughout [N], on the device.
        false_gradients: looks at which it did not foretell what a step brings [N], as far as the attack compares the two.
    """

    def __init__(
        self,
        victim: Callable[[Tensor], Tensor],
        samples: int,
        *,
        access: Access = "gradient",
        budget: Budget | None = None,
        micro_batch: int | None = None,
        stop_early: bool = True,
        skip: Tensor | None = None,
        eot: int = 1,
        channel: Channel | None = None,
        numbers: Randomness | None = None,
        device: torch.device | str = "cpu",
        readout: Readout | None = None,
        mixed: Callable[..., Tensor] | None = None,
        starts: Tensor | None = None,
        stands_in: bool = False,
    ) -> None:
        self.victim = victim
        self.readout = readout
        self.starts = starts
        self.access = access
        self.micro_batch = micro_batch
        self.stop_early = stop_early
        self.eot = eot
        self.channel = channel
        self.numbers = numbers if getattr(victim, "random", False) else None
        self.soft: Callable[..., Tensor] = getattr(victim, "soft", victim)
        self._mixed, self._exact = mixed, False
        self.stands_in = stands_in
        self.device = torch.device(device)
        self._ledger = Ledger(samples, budget or Budget(), eot, stop_early, skip, self.device)
        self.zero_gradients = torch.zeros(samples, dtype=torch.long, device=self.device)
        self.false_gradients = torch.zeros_like(self.zero_gradients)

    @property
    def forwards(self) -> np.ndarray:
        """Forward passes spent on each sample [N]."""
        return self._ledger.forwards

    @property
    def backwards(self) -> np.ndarray:
        """Backward passes spent on each sample [N]."""
        return self._ledger.backwards

    @property
    def broken(self) -> np.ndarray:
        """The samples that the attack reported broken, [N] bool."""
        return self._ledger.broken

    def rounds(self, steps: int, *, queries: int = 1, gradients: int = 1) -> Iterator[Tensor]:
        """Yield, `steps` times at most, the positions of the samples that are still standing and can pay for a round.

        The last of them are asked in float32 for the gradients that the others give in 16 bits.
        """
        try:
            for step in range(steps):
                active = self.active(queries=queries, gradients=gradients)
                if not len(active):
                    return
                self._exact = step >= (1 - EXACT_SHARE) * steps
                yield active
        finally:
            self._exact = False

    def active(self, *, queries: int = 1, gradients: int = 0) -> Tensor:
        """Return the positions, ascending, of the samples that are still standing and can pay for this many passes."""
        return self._ledger.active(queries, gradients)

    def remaining(self, index: Tensor) -> Tensor:
        """Return how many more looks each sample may cost [B]."""
        return self._ledger.remaining(index)

    def retire(self, index: Tensor, success: Tensor) -> Tensor | None:
        """Take note of broken samples, on which nothing more is spent. Returns which of [B] go on, ascending; None where all do."""
        return self._ledger.retire(index, success)

    def __call__(self, x: Tensor, index: Tensor) -> Tensor:
        """Return the victim's outputs [B, classes] for x [B, C, H, W]; needs score access."""
        looks = self._charge(index, "score", queries=1)
        return _mean([self._outputs(x, index, looks, draw) for draw in range(self.eot)])

    def look(self, goal: Goal, x: Tensor, index: Tensor, loss: LossName = "ce") -> Query:
        """Return loss and success of x [B, C, H, W]; needs score access."""
        looks = self._charge(index, "score", queries=1)
        at = self._goal(goal, index)
        draws = [self._outputs(x, index, looks, draw) for draw in range(self.eot)]
        return Query(_mean([at.loss(logits, loss) for logits in draws]), _mostly([at.met(logits) for logits in draws]))

    def decide(self, goal: Goal, x: Tensor, index: Tensor) -> Tensor:
        """Return [B] bool: whether x meets the goal; needs decision access only."""
        looks = self._charge(index, "decision", queries=1)
        at = self._goal(goal, index)
        return _mostly([at.met(self._outputs(x, index, looks, draw)) for draw in range(self.eot)])

    def gradient(self, goal: Goal, x: Tensor, index: Tensor, loss: LossName = "ce") -> GradientQuery:
        """Return loss, success and the gradient of the loss at x [B, C, H, W]; needs gradient access."""
        looks = self._charge(index, "gradient", queries=1, gradients=1)
        parts = [
            self._gradient(self._goal(goal, where), z, where, look, loss)
            for z, where, look in self._split(x, index, looks)
        ]
        return _joined(parts)

    def features(self, x: Tensor, layer: str, index: Tensor) -> Tensor:
        """Return the values [B, ...] of a hidden layer for x [B, C, H, W]; needs gradient access: who has it knows the inside.

        Raises:
            UsageError: there is no such layer.
            ValueError: the victim is one that can't be looked into.
        """
        looks = self._charge(index, "gradient", queries=1)
        with torch.no_grad():
            draws = [
                torch.cat(
                    [self._inside(z, layer, where, look, draw) for z, where, look in self._split(x, index, looks)]
                )
                for draw in range(self.eot)
            ]
        values = _mean(draws)
        require_finite("feature", values, index)
        return values

    def differentiate(self, loss: Loss, x: Tensor, index: Tensor, passes: int) -> GradientQuery:
        """Return loss, success and the gradient of a loss of the attack's own at x [B, C, H, W]; needs gradient access.

        Args:
            loss: of what it may see through the `Sight` that it is given.
            x: where.
            index: of the samples [B].
            passes: through the victim that it takes for a sample, at most; each is charged forwards and backwards, taken or not.
        """
        looks = self._charge(index, "gradient", queries=passes, gradients=passes)

        parts = [
            self._differentiated(loss, z, where, look, passes)
            for z, where, look in self._split(x, index, looks, copies=passes)
        ]
        return _joined(parts)

    def _gradient(self, goal: Goal, x: Tensor, index: Tensor, looks: Tensor, loss: LossName) -> GradientQuery:
        if self._mixed is None or self._exact:
            return self._query(*self._differences(self.soft, goal.met, goal, x, index, looks, loss), index)
        nearly_met = partial(_nearly_met, goal)
        values, successes, gradients = self._differences(self._mixed, nearly_met, goal, x, index, looks, loss)
        successes = [self._confirmed(goal, near, x, index, looks, draw) for draw, near in enumerate(successes)]
        sizes = torch.stack([gradient.flatten(1).abs().sum(1) for gradient in gradients])
        told = (torch.stack(values) + sizes + sizes.reciprocal()).sum(0)
        lost = (~told.isfinite()).nonzero()[:, 0]  # too large for 16 bits, or so small that nothing is left
        if len(lost):
            some = goal.at(lost)
            exact = self._differences(self.soft, some.met, some, x[lost], index[lost], looks[lost.cpu()], loss)
            values, successes, gradients = (
                [one.index_put((lost,), other) for one, other in zip(ones, others, strict=True)]
                for ones, others in zip((values, successes, gradients), exact, strict=True)
            )
        return self._query(values, successes, gradients, index)

    def _differences(
        self,
        victim: Callable[..., Tensor],
        met: Callable[[Tensor], Tensor],
        goal: Goal,
        x: Tensor,
        index: Tensor,
        looks: Tensor,
        loss: LossName,
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return the loss [B], success [B] and gradient [B, ...] of each draw; `met` makes successes [B] of logits [B, classes]."""
        values, gradients, successes = [], [], []
        for draw in range(self.eot):
            z = x.detach().requires_grad_(True)
            with torch.enable_grad():
                scores = self._answer(victim, z, index, looks, draw)
            logits = scores.detach()
            value, slope = goal.slope(logits, loss)
            gradients.append(torch.autograd.grad(scores, z, slope)[0])
            values.append(value)
            successes.append(met(logits))
        return values, successes, gradients

    def _confirmed(self, goal: Goal, near: Tensor, x: Tensor, index: Tensor, looks: Tensor, draw: int) -> Tensor:
        """Return which of the samples [B] that met their goal in 16 bits, or nearly so, meet it in float32."""
        where = near.nonzero()[:, 0]
        if not len(where):
            return near
        with torch.no_grad():
            outputs = self._answer(self.soft, x[where], index[where], looks[where.cpu()], draw)
        return near.index_put((where,), goal.at(where).success(outputs))

    def _differentiated(self, loss: Loss, x: Tensor, index: Tensor, looks: Tensor, passes: int) -> GradientQuery:
        values, gradients, successes = [], [], []
        for draw in range(self.eot):
            z = x.detach().requires_grad_(True)
            with torch.enable_grad():
                value, success = loss(self._sight(index, looks, draw, passes), z, index)
                gradients.append(torch.autograd.grad(value.sum(), z)[0])
            values.append(value.detach())
            successes.append(success)
        return self._query(values, successes, gradients, index)

    def _sight(self, index: Tensor, looks: Tensor, draw: int, passes: int) -> Sight:
        logits, features = partial(self._answer, self.soft, draw=draw), partial(self._inside, draw=draw)
        return Sight(Insight(logits, features, self._resumed), index, looks, passes)

    def _query(
        self, values: list[Tensor], successes: list[Tensor], gradients: list[Tensor], index: Tensor
    ) -> GradientQuery:
        """Return the mean of draws, and note which gradients are zero."""
        value, gradient = _mean(values), _mean(gradients)
        size = gradient.flatten(1).abs().sum(1)  # a fifth of what a norm takes, on digits
        if not finite(value + size):
            require_finite("score", value, index)  # no loss is finite where the scores that decide it are not
            require_finite("gradient", size, index)
        if index is self._ledger.everyone:
            self.zero_gradients += size == 0
        else:
            self.zero_gradients.index_add_(0, index, (size == 0).long())
        return GradientQuery(value, _mostly(successes), gradient)

    def _outputs(self, x: Tensor, index: Tensor, looks: Tensor, draw: int) -> Tensor:
        with torch.no_grad():
            parts = self._split(x, index, looks)
            outputs = torch.cat([self._answer(self.victim, z, where, look, draw) for z, where, look in parts])
        require_finite("score", outputs, index)
        return outputs

    def _answer(self, victim: Callable[..., Tensor], x: Tensor, index: Tensor, looks: Tensor, draw: int) -> Tensor:
        """Return a victim's outputs [B, classes] of x [B, C, H, W], each at its sample's own look [B]."""
        seen = self._seen(x, index, looks, draw)
        draws = self._draws(index, looks, draw)
        outputs = in_few_sizes(victim, seen) if draws is None else victim(seen, draws)
        return self._read(outputs.to(x.dtype), index)  # a victim may answer in 16 bits, or in 64

    def _read(self, outputs: Tensor, index: Tensor) -> Tensor:
        return outputs if self.readout is None else self.readout(outputs, index)

    def _seen(self, x: Tensor, index: Tensor, looks: Tensor, draw: int) -> Tensor:
        """Return what the victim sees of x [B, C, H, W], each at its sample's own look [B]."""
        if self.channel is None:
            return x
        numbers = sorted(set(looks.tolist()))
        if len(numbers) == 1:
            return self.channel(x, index, f"craft/{numbers[0]}/{draw}")
        # Attacks that leave some samples out for a while look at others for the tenth time, and at these for the second.
        groups = [(looks == number).nonzero()[:, 0].to(index.device) for number in numbers]
        seen = [
            self.channel(x[group], index[group], f"craft/{number}/{draw}")
            for number, group in zip(numbers, groups, strict=True)
        ]
        return torch.cat(seen)[torch.cat(groups).argsort()]

    def _inside(self, x: Tensor, layer: str, index: Tensor, looks: Tensor, draw: int) -> Tensor:
        """Return the values [B, ...] of a hidden layer for x [B, C, H, W], each at its sample's own look [B]."""
        layers, victim = self._layers(), cast(Any, self.victim)
        seen = self._seen(x, index, looks, draw)
        values: Tensor = layers.features(victim.softly_inside(seen, self._draws(index, looks, draw)), layer)
        return values

    def _resumed(self, h: Tensor, layer: str, index: Tensor) -> Tensor:
        """Return the victim's outputs [B, classes] that follow from values h [B, ...] of a hidden layer."""
        layers = self._layers()
        outputs = layers.resume(h.clamp_min(0) if layers.rectified(layer) else h, layer)
        return self._read(outputs.to(torch.promote_types(h.dtype, torch.float32)), index)

    def _layers(self) -> Any:
        if not hasattr(self.victim, "softly_inside"):
            raise ValueError("this victim can't be looked into: it is no raygrid.victims.victim.Victim")
        return cast(Any, self.victim).layers

    def _draws(self, index: Tensor, looks: Tensor, draw: int) -> Draws | None:
        """Return the numbers of each sample's own look [B], for a victim that takes any."""
        if self.numbers is None:
            return None
        return self.numbers.draws(index, [f"craft/{look}/{draw}" for look in looks.tolist()])

    def _split(
        self, x: Tensor, index: Tensor, looks: Tensor, copies: int = 1
    ) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
        if not self.micro_batch:
            return ((x, index, looks),)
        size = max(1, self.micro_batch // copies)
        return zip(*(torch.split(tensor, size) for tensor in (x, index, looks)), strict=True)

    def _charge(self, index: Tensor, access: Access, *, queries: int = 0, gradients: int = 0) -> Tensor:
        """Count a look at each sample of the index. Returns how many looks each had before [B], on the CPU."""
        if ACCESS_ORDER.index(access) > ACCESS_ORDER.index(self.access):
            raise AccessDeniedError(f"the attack asked for {access} access and has {self.access} access")
        return self._ledger.charge(index, queries, gradients)

    def _goal(self, goal: Goal, index: Tensor) -> Goal:
        return goal if index is self._ledger.everyone else goal.at(index)


def _nearly_met(goal: Goal, logits: Tensor) -> Tensor:
    """Return [B] bool: logits [B, classes] of 16 bits meet the goal, or would but for their rounding."""
    return goal.margin(logits) <= NEARLY * logits.abs().amax(1)


def _joined(parts: list[GradientQuery]) -> GradientQuery:
    return parts[0] if len(parts) == 1 else GradientQuery(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _mean(draws: list[Tensor]) -> Tensor:
    return draws[0] if len(draws) == 1 else torch.stack(draws).mean(0)


def _mostly(draws: list[Tensor]) -> Tensor:
    """Return [B] bool: true in more than half of the draws."""
    return draws[0] if len(draws) == 1 else 2 * torch.stack(draws).sum(0) > len(draws)
