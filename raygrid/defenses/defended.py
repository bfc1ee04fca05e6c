"""A defended victim: what a defense makes of a victim. It can be defended in its turn."""

from dataclasses import dataclass

import torch
from torch import Tensor

from raygrid.errors import UsageError
from raygrid.randomness import Draws, Randomness
from raygrid.victims.victim import Victim


class Defended(Victim):
    """A victim behind a defense: pixels [B, C, H, W] in [0, 1] in, logits [B, classes] out.

    A defense says what becomes of the input (`before`), and needs say no more; one that reaches deeper has its own `forward`.

    Attributes:
        victim: what is defended; it may be defended itself.
        random: whether it answers at random, and so takes the numbers of each look.
        abstains: whether it may decline to answer: its logits then have one column more, the last one.
        detects: whether it may raise the alarm; then it has `suspicious`.
    """

    detects = False

    def __init__(self, victim: Victim, *, random: bool = False, abstains: bool = False) -> None:
        super().__init__(victim.model, victim.info)
        if abstains and victim.abstains:
            raise UsageError(f'victim "{victim.info.id}" abstains already; leave out abstention around it')
        self.victim = victim
        self.random = random or victim.random
        self.abstains = abstains or victim.abstains

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the logits [B, classes], which are what is judged.

        Args:
            x: pixels [B, C, H, W].
            draws: the random numbers of this look at these samples; None: any.
        """
        draws = draws or some_draws(len(x))
        return answer(self.victim, self.before(x, draws), draws)

    def soft(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return logits [B, classes] that an attacker can take gradients of: one pass at one draw, of what `forward` decides by.

        Where a step has no useful gradient, that of the identity stands in for it (BPDA, Athalye et al., ICML 2018).
        """
        draws = draws or some_draws(len(x))
        return soft_answer(self.victim, self.softly_before(x, draws), draws)

    def inside(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return what the model inside takes for pixels x [B, C, H, W]."""
        draws = draws or some_draws(len(x))
        return self.victim.inside(self.before(x, draws), draws.behind())

    @property
    def alarm(self) -> "Alarm | None":
        """What says whether it raises the alarm; None where it never does."""
        return Alarm(self, self.random) if self.detects else None

    def suspicious(self, x: Tensor, draws: Draws) -> Tensor:
        """Return [B] bool: whether to raise the alarm at x [B, C, H, W]. The answer stays what it is."""
        raise NotImplementedError(f"{type(self).__name__} raises no alarm")

    def softly_inside(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the same, in a form that an attacker can take gradients of."""
        draws = draws or some_draws(len(x))
        return self.victim.softly_inside(self.softly_before(x, draws), draws.behind())

    def before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return what the victim is shown of x [B, C, H, W]."""
        return x

    def softly_before(self, x: Tensor, draws: Draws) -> Tensor:
        """Return the same, with the gradient of the identity where its own is of no use."""
        return self.before(x, draws)


@dataclass(frozen=True)
class Alarm:
    """A detector, asked as a model is."""

    victim: Defended
    random: bool
    """Whether it takes the numbers of each look."""

    def __call__(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Return [B, 1]: 1 where pixels x [B, C, H, W] raise the alarm, else 0."""
        return self.victim.suspicious(x, draws or some_draws(len(x))).to(x)[:, None]


def answer(victim: Victim, x: Tensor, draws: Draws) -> Tensor:
    """Return a victim's logits [B, classes] of x [B, C, H, W], with these random numbers if it needs any."""
    outputs: Tensor = victim(x, draws.behind()) if victim.random else victim(x)
    return outputs


def soft_answer(victim: Victim, x: Tensor, draws: Draws) -> Tensor:
    """Return logits [B, classes] that an attacker can take gradients of."""
    return victim.soft(x, draws.behind()) if isinstance(victim, Defended) else answer(victim, x, draws)


def some_draws(samples: int) -> Draws:
    """Return the numbers of a look at samples of which nobody says which they are: others at each time of asking."""
    seed = int(torch.randint(2**62, ()))
    return Randomness(seed, "defense", [str(i) for i in range(samples)]).draws(torch.arange(samples), ["any"] * samples)
