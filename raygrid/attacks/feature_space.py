"""Feature-space adversarial examples (Ukita & Ohki, Neural Networks 167, 2023): unrestricted ones, which lie far from the image at
the input, next to it in a hidden layer, and on the other side of a boundary at the output.

The source trains a generator, see feature_generator.py. Here each image is attacked by itself, so that its example is the same
whatever stands beside it; for that reason no other image of the data is a start either.

Pixels are kept in the box by clamping. Behind tanh, as in Carlini & Wagner's attack, those at the edge of the box move hardly at
all, and most pixels of digits lie there.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from raygrid.attacks.best import Best
from raygrid.attacks.catalog_feature_space import Start
from raygrid.attacks.feature_loss import FeatureLoss
from raygrid.attacks.rows import rows, with_rows
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.sight import Sight

BETA_1, BETA_2, TINY = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma & Ba, ICLR 2015)."""


def feature_space(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    target_layer: str,
    init: Start,
    aware: str,
    lc: float,
    ls: float,
    lh: float,
    s: float,
    hidden_sigma: float,
    hidden_unit: str,
    draws: int,
    steps: int,
    lr: float,
) -> Tensor:
    """Go down the loss of `FeatureLoss` over the pixels z by Adam.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clean inputs [N, C, H, W] in [0, 1].
        constraint: the box; there is no ball.
        randomness: the samples' streams, for starts and noise.
        target_layer, aware, lc, ls, lh, s, hidden_sigma, hidden_unit, draws: the loss, see `FeatureLoss`.
        init: a key of STARTS.
        steps: of Adam.
        lr: its step size, in input units.

    Returns:
        [N, C, H, W]: of the points seen to succeed the one of the least loss, else of all that were seen. No sample stops before
        the last step: the first wrong answer is not what is looked for.

    Raises:
        UsageError: there is no such layer.
    """
    nearness = FeatureLoss(target_layer, aware, lc, ls, lh, s, hidden_sigma, hidden_unit, draws)
    passes = nearness.passes
    best, active = Best(x), oracle.active(queries=1 + passes, gradients=passes)
    if not len(active):
        return best.x
    h = oracle.features(x[active], target_layer, active)
    clean = h.new_zeros(len(x), *h.shape[1:]).index_put((active,), h)
    z = x.index_put((active,), STARTS[init](x[active], randomness, active))
    m, v = torch.zeros_like(x), torch.zeros_like(x)
    for k, on in enumerate(oracle.rounds(steps, queries=passes, gradients=passes)):

        def loss(sight: Sight, z: Tensor, where: Tensor, k: int = k) -> tuple[Tensor, Tensor]:
            terms = nearness.terms(sight, z, goal.at(where), clean[where], randomness, where, k)
            return nearness.value(terms), terms.success

        here = rows(z, on)
        value, success, g = oracle.differentiate(loss, here, on, passes)
        best.keep_better(on, here, value, success)
        first = BETA_1 * rows(m, on) + (1 - BETA_1) * g
        second = BETA_2 * rows(v, on) + (1 - BETA_2) * g.square()
        m, v = with_rows(m, on, first), with_rows(v, on, second)
        step = first / (1 - BETA_1 ** (k + 1)) / ((second / (1 - BETA_2 ** (k + 1))).sqrt() + TINY)
        z = with_rows(z, on, (here - lr * step).clamp(constraint.low, constraint.high))
    oracle.retire(active, best.success[active])
    return best.x


def _turned(x: Tensor, randomness: Randomness, index: Tensor) -> Tensor:
    """Each image mirrored or turned in one of the ways that differ from it, and rolled by half a side both ways."""
    square = x.shape[2] == x.shape[3]
    # Bits: mirrored left to right, mirrored top to bottom, transposed. 0 would change nothing.
    ways = 1 + (randomness.uniform("start", index, x[:, 0, 0, 0]) * (7 if square else 3)).long()
    turned = []
    for image, way in zip(x, ways.tolist(), strict=True):
        image = image.flip(-1) if way & 1 else image
        image = image.flip(-2) if way & 2 else image
        turned.append(image.transpose(-1, -2) if way & 4 else image)
    return torch.stack(turned).roll((x.shape[2] // 2, x.shape[3] // 2), (2, 3))


STARTS: dict[Start, Callable[[Tensor, Randomness, Tensor], Tensor]] = {
    "turned": _turned,
    "noise": lambda x, randomness, index: randomness.uniform("start", index, x),
    "x1": lambda x, randomness, index: x.clone(),
}
"""(x [B, C, H, W], randomness, positions [B]) -> where each search starts [B, C, H, W]."""
