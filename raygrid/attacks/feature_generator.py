"""The generator of the feature-space attack (Ukita & Ohki, Neural Networks 167, 2023): a network that makes of each image one that
lies next to it in a hidden layer and is answered otherwise, trained against a discriminator that knows real images.

The source trains it on the very images that it attacks, and takes what it gave in the last epoch (`learns_from: attacked`). By
default it learns on samples set apart, and is then asked, with its weights and statistics frozen, for examples of images that it
never saw: these hang on no other sample, and cost the victim nothing.

There is no ball, so that one who has learned nothing yet, and makes gray of everything, is mostly wrong as well: success is worth
something beside the distance in the layer (`judge: {layers: true}`, view `layer_profile`).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from raygrid.attacks.catalog_feature_space import FeatureGenerator
from raygrid.attacks.feature_loss import FeatureLoss, Terms
from raygrid.attacks.generator_nets import Discriminator, Generator, bare, drawn
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import GradientQuery, Oracle
from raygrid.randomness import Randomness
from raygrid.sample_errors import SampleError
from raygrid.sight import Loss, Sight

BETAS_G, BETAS_D = (0.5, 0.999), (0.0, 0.9)
"""Adam's constants for generator and discriminator: the source's."""
LOG = ("hidden", "wrong", "smooth", "inside", "success", "adversarial", "discriminator")
"""What is told of each epoch: means of the loss's terms before their weights, the share of images at which the goal was met, the
generator's loss before the discriminator, and the discriminator's."""
WEIGHTS = "generator."
"""Begins the names of the generator's tensors."""
NOBODY = ""
"""Whose stream the networks are drawn from: no sample's."""


def feature_generator(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    fitted: Mapping[str, Tensor] | None = None,
    **said: Any,
) -> Tensor:
    """Return what the generator makes of each x [N, C, H, W]; with what was `fitted` the victim is asked nothing.

    Without, it learns here, on x: then examples hang on all that are attacked together, and are what the last epoch gave. Samples
    that meet the goal already, or can't pay for an epoch, stay as they are.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: the box; there is no ball.
        randomness: the samples' streams, for noise and order, and one for the networks.
        fitted: what `fit_feature_generator` returned.
        said: the parameters of `FeatureGenerator` in catalog_feature_space.py.

    Raises:
        UsageError: there is no such layer.
        SampleError: training diverged, for all of them.
    """
    params = FeatureGenerator(**said)
    if fitted is None:
        learned = learn(oracle, goal, x, constraint, randomness, params, shuffle=False)
        everyone = oracle.active()
        oracle.retire(everyone, learned.success[everyone])
        return learned.made
    weights = {name.removeprefix(WEIGHTS): tensor for name, tensor in fitted.items() if name.startswith(WEIGHTS)}
    if not weights:
        return x.clone()
    generator = bare(Generator, x.shape[1:], params.width)
    generator.load_state_dict(weights)
    generator.eval().to(x.device)
    with torch.no_grad():
        parts = [generator(_scaled(part, constraint)) for part in torch.split(x, params.batch)]
    return _pixels(torch.cat(parts), constraint)


def fit_feature_generator(
    oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, randomness: Randomness, **said: Any
) -> dict[str, Tensor]:
    """Train a generator on samples set apart; arguments as those of `feature_generator`.

    Returns:
        Its tensors after the last epoch, their names behind `generator.`, and `losses` [epochs, 7], whose columns LOG names. Where
        no sample can pay for an epoch there is no generator, and no image will be changed.

    Raises:
        UsageError: there is no such layer.
        ValueError: all samples meet the goal already: examples that nothing taught would pass for a victim's robustness.
        SampleError: training diverged, for all of them.
    """
    learned = learn(oracle, goal, x, constraint, randomness, FeatureGenerator(**said), shuffle=True)
    if not len(learned.losses) and oracle.forwards.any():
        raise ValueError(f"all {len(x)} samples set apart meet the goal already: there is nothing to learn from them")
    tensors = learned.generator.state_dict() if len(learned.losses) else {}
    return {"losses": learned.losses, **{WEIGHTS + name: tensor for name, tensor in tensors.items()}}


class Learned(NamedTuple):
    """What came of a training."""

    generator: nn.Module
    losses: Tensor
    """[epochs, 7], see LOG."""
    made: Tensor
    """What the generator last gave of each image while it learned [N, C, H, W]; the image, where it did not learn from it."""
    success: Tensor
    """Whether that met the goal [N]."""


def learn(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    params: FeatureGenerator,
    *,
    shuffle: bool,
) -> Learned:
    """Train a generator, and a discriminator against it, on the samples x [N, C, H, W] that don't meet the goal already.

    The same comes of the same samples in whatever order. With `shuffle` an image has other ones beside it in each epoch, which
    matters to statistics of batches; without, always the same, as in the source.
    """
    p, networks = params, _Networks(x, constraint, randomness, params)
    nearness = FeatureLoss(p.target_layer, p.aware, p.lc, p.ls, p.lh, p.s, p.hidden_sigma, p.hidden_unit, p.draws)
    passes = nearness.passes
    made, success, log = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device), list[Tensor]()
    able = oracle.active(queries=2 + passes, gradients=passes)
    samples = able[~oracle.decide(goal, x[able], able)] if len(able) else able
    if not len(samples):
        return Learned(networks.generator, x.new_empty(0, len(LOG)), made, success)
    h = oracle.features(x[samples], p.target_layer, samples)
    clean = h.new_zeros(len(x), *h.shape[1:]).index_put((samples,), h)
    for epoch in range(p.epochs):
        told: list[Tensor] = []
        """What LOG names, a row for each sample."""
        for on in _batches(oracle, randomness, samples, epoch if shuffle else 0, p.batch, passes):
            terms: list[Terms] = []

            def loss(
                sight: Sight, z: Tensor, where: Tensor, epoch: int = epoch, terms: list[Terms] = terms
            ) -> tuple[Tensor, Tensor]:
                found = nearness.terms(sight, z, goal.at(where), clean[where], randomness, where, epoch)
                terms.append(Terms(*(term.detach() for term in found)))
                return nearness.value(found), found.success

            def differentiate(z: Tensor, on: Tensor = on, loss: Loss = loss) -> GradientQuery:
                return oracle.differentiate(loss, z, on, passes)

            made[on], success[on], duel = networks.step(x[on], differentiate)
            means = torch.stack([column.float().mean() for column in Terms.joined(terms)])
            told.append(torch.cat([means, duel]).expand(len(on), -1))
        if not told:
            break
        log.append(torch.cat(told).mean(0))
    return Learned(networks.generator, torch.stack(log), made, success)


def _batches(
    oracle: Oracle, randomness: Randomness, samples: Tensor, epoch: int, size: int, passes: int
) -> Iterator[Tensor]:
    """Yield the positions of each step's samples, in an order that hangs on their names alone. Those whose budget is spent have no
    more say."""
    drawn = randomness.uniform(f"order/{epoch}", samples, torch.empty(len(samples), 1)).flatten()
    # Parts of one size, give or take a sample: the statistics of a last part of one or two would be odd ones.
    for part in torch.tensor_split(samples[drawn.argsort().to(samples.device)], math.ceil(len(samples) / size)):
        on = part[torch.isin(part, oracle.active(queries=passes, gradients=passes))]
        if len(on):
            yield on


class _Networks:
    """A generator and a discriminator that train against each other. Both see pictures in [-1, 1], as the source's do."""

    def __init__(self, x: Tensor, constraint: Constraint, randomness: Randomness, params: FeatureGenerator) -> None:
        self.generator, self.discriminator = (
            drawn(net, x.shape[1:], params.width, randomness.generator(f"weights/{net.__name__}", NOBODY)).to(x.device)
            for net in (Generator, Discriminator)
        )
        self.adams = (
            torch.optim.Adam(self.generator.parameters(), params.lr, BETAS_G),
            torch.optim.Adam(self.discriminator.parameters(), params.lr_d, BETAS_D),
        )
        self.ladv, self.constraint, self.everyone = params.ladv, constraint, list(range(len(x)))

    def step(self, x: Tensor, differentiate: Callable[[Tensor], GradientQuery]) -> tuple[Tensor, Tensor, Tensor]:
        """Take a step of the generator and then, on the pictures from before it, one of the discriminator.

        Args:
            x: images [b, C, H, W].
            differentiate: asks the victim about what is made of them.

        Returns:
            What was made of them, whether that met the goal [b], and the generator's loss before the discriminator with the
            discriminator's [2].

        Raises:
            SampleError: it diverged.
        """
        real = _scaled(x, self.constraint)
        with torch.enable_grad():
            fake = self.generator(real)
            if not bool(torch.isfinite(fake).all()):
                raise SampleError("training the generator diverged: choose a smaller lr", self.everyone)
            z = _pixels(fake, self.constraint)
            seen = differentiate(z.detach())
            adversarial = -self.discriminator(fake).mean()
            # The victim's part of the loss comes back by its gradient: nobody is let into the graph behind the oracle.
            _descend(self.adams[0], (z * seen.gradient).sum() / len(x) + self.ladv * adversarial)
            says, of_fake = self.discriminator(real), self.discriminator(fake.detach())
            hinges = (1 - says).relu().mean() + (1 + of_fake).relu().mean()
            _descend(self.adams[1], hinges)
        return z.detach(), seen.success, torch.stack([adversarial.detach(), hinges.detach()])


def _descend(adam: torch.optim.Optimizer, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    adam.step()


def _scaled(x: Tensor, box: Constraint) -> Tensor:
    """Return pixels in [-1, 1]."""
    return 2 * (x - box.low) / (box.high - box.low) - 1


def _pixels(pictures: Tensor, box: Constraint) -> Tensor:
    """Return pictures in [-1, 1] as pixels of the box."""
    return (box.low + (box.high - box.low) * (pictures + 1) / 2).clamp(box.low, box.high)
