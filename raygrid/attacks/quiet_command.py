"""Digital attacks on what is heard, as quiet as they can be: in their largest value (Carlini & Wagner, 2018), and then under what
the clip itself hides (Qin et al., ICML 2019).

Both search among the files that there are: what they show a victim differs from the clip by whole steps of 16 bits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from raygrid.attacks.rows import rows, with_rows
from raygrid.constraints import Constraint
from raygrid.goals import Goal
from raygrid.metrics.masking import Mask, masking
from raygrid.oracle import Oracle
from raygrid.randomness import Randomness
from raygrid.sample_errors import SampleError

BETA_1, BETA_2, TINY = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma & Ba, ICLR 2015)."""
STEPS_OF_A_FILE = 32768
"""Of 16 bits, from 0 to 1."""
RATE = 16_000
"""Samples a second of every clip that is attacked."""
HARDER, EASIER = 1.2, 0.8
"""What a weight is multiplied by after a success and after a failure (Qin et al.)."""
AFTER_SUCCESS, AFTER_FAILURE = 20, 50
"""Every how many steps that is."""


def carlini_wagner_audio(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    steps: int,
    lr: float,
    peak_db: float,
    shrink: float,
) -> Tensor:
    """Minimize J(x + δ) for ‖δ‖∞ ≤ τ by Adam; each success makes τ smaller (Carlini & Wagner, DLS 2018, section III-A).

    J is the goal's loss, for a phrase the negative log-likelihood of CTC.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clips [N, T] in the box.
        constraint: the box.
        randomness: unused.
        steps: of Adam.
        lr: step size, as a share of τ.
        peak_db: τ at first, in dB above the clip's largest value.
        shrink: what τ is multiplied by, once it is what the success needed.

    Returns:
        [N, T]: of each sample the success of the least ‖δ‖∞; where there was none, the last point.

    Raises:
        SampleError: a clip is silent.
        ValueError: x holds no waveforms.
    """
    _check(oracle, x)
    best, _ = _quiet(oracle, goal, x, constraint, steps, lr, peak_db, shrink)
    oracle.retire(torch.arange(len(x), device=x.device), best.met)
    return best.z


def imperceptible(
    oracle: Oracle,
    goal: Goal,
    x: Tensor,
    constraint: Constraint,
    randomness: Randomness,
    *,
    steps: int,
    lr: float,
    peak_db: float,
    shrink: float,
    masked_steps: int,
    masked_lr: float,
    weight: float,
) -> Tensor:
    """Minimize J(x + δ) + α · ℓ(δ) by Adam, ℓ being how many dB the spectra of δ lie above the clip's masking threshold, the mean
    over times and frequencies (Qin et al., ICML 2019, section 4), from the point that the attack of Carlini & Wagner finds.

    α grows every 20 steps at a success, and falls every 50 at a failure, as there.

    Args:
        oracle: the victim, with gradient access.
        goal: what to reach.
        x: clips [N, T] in the box, at 16 kHz.
        constraint: the box.
        randomness: unused.
        steps, lr, peak_db, shrink: of the first stage, see `carlini_wagner_audio`.
        masked_steps: of the second; samples that the first did not break take no part.
        masked_lr: step size there, as a share of the first stage's ‖δ‖∞; it falls to 0 along a line.
        weight: α at first.

    Returns:
        [N, T]: of each sample the success of the least ℓ; where there was none, the first stage's last point.

    Raises:
        SampleError: a clip is silent.
        ValueError: x holds no waveforms.
    """
    _check(oracle, x)
    best, delta = _quiet(oracle, goal, x, constraint, steps, lr, peak_db, shrink)
    started = best.met.clone()
    mask = masking(x, RATE)
    delta = torch.where(started[:, None], best.z - x, delta)
    pace = masked_lr * delta.abs().amax(1, keepdim=True)
    alpha = torch.full_like(pace, weight)
    best = Best(best.z, _audible(delta, mask), best.met)
    adam = Adam(x)
    for k, standing in enumerate(oracle.rounds(masked_steps, gradients=1)):
        on = standing[started[standing]]
        if not len(on):
            break
        z = _on_file(rows(x, on) + rows(delta, on), rows(x, on), constraint)
        query = oracle.gradient(goal, z, on)
        audible, slope = _slope(z - rows(x, on), mask.at(on))
        best.note(on, z, audible, query.success)
        factor = torch.ones_like(audible)
        if k % AFTER_SUCCESS == AFTER_SUCCESS - 1:
            factor = torch.where(query.success, HARDER, factor)
        if k % AFTER_FAILURE == AFTER_FAILURE - 1:
            factor = torch.where(query.success, factor, EASIER)
        step = adam.step(query.gradient + rows(alpha, on) * slope, on)
        alpha = with_rows(alpha, on, rows(alpha, on) * factor[:, None])
        delta = with_rows(delta, on, rows(delta, on) - (1 - k / masked_steps) * rows(pace, on) * step)
    oracle.retire(torch.arange(len(x), device=x.device), best.met)
    return best.z


def _check(oracle: Oracle, x: Tensor) -> None:
    if x.ndim != 2:
        raise ValueError(f"an attack on what is heard takes waveforms [N, T], one voice each, not {list(x.shape)}")
    attacked = oracle.active(queries=0)
    if silent := attacked[x[attacked].abs().amax(1) == 0].tolist():
        raise SampleError("the clip is silent, and nothing can be hidden in it", silent)


def _quiet(
    oracle: Oracle, goal: Goal, x: Tensor, constraint: Constraint, steps: int, lr: float, peak_db: float, shrink: float
) -> tuple["Best", Tensor]:
    """Return the quietest successes, and the last perturbations [N, T]."""
    tau = x.abs().amax(1, keepdim=True) * 10 ** (peak_db / 20)
    delta, adam = torch.zeros_like(x), Adam(x)
    best = Best(x.clone(), torch.full_like(x[:, 0], torch.inf), torch.zeros_like(x[:, 0], dtype=torch.bool))
    for on in oracle.rounds(steps):
        z = _on_file(rows(x, on) + rows(delta, on), rows(x, on), constraint)
        query = oracle.gradient(goal, z, on)
        size = (z - rows(x, on)).abs().amax(1)
        best.note(on, z, size, query.success)
        smaller = torch.minimum(rows(tau, on), size[:, None]) * shrink
        tau = with_rows(tau, on, torch.where(query.success[:, None], smaller, rows(tau, on)))
        most = rows(tau, on)
        moved = rows(delta, on) - lr * most * adam.step(query.gradient, on)
        delta = with_rows(delta, on, torch.maximum(torch.minimum(moved, most), -most))
    last = _on_file(x + delta, x, constraint)
    return Best(torch.where(best.met[:, None], best.z, last), best.size, best.met), delta


def _on_file(z: Tensor, x: Tensor, constraint: Constraint) -> Tensor:
    """Return z [B, T] in the box and whole steps of 16 bits from x [B, T], towards which it is rounded; no file holds 1."""
    low, high = constraint.box
    steps = ((z.clamp(low, high - 1 / STEPS_OF_A_FILE) - x) * STEPS_OF_A_FILE).trunc()
    return x + steps / STEPS_OF_A_FILE


def _audible(delta: Tensor, mask: Mask) -> Tensor:
    """Return how many dB the spectra of perturbations [B, T] lie above the masking thresholds: [B], the mean."""
    return mask.above(delta).mean((1, 2))


def _slope(delta: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
    """Return that and its gradient [B, T]."""
    with torch.enable_grad():
        at = delta.detach().requires_grad_(True)
        audible = _audible(at, mask)
        (slope,) = torch.autograd.grad(audible.sum(), at)
    return audible.detach(), slope


class Adam:
    """Adam's moments of N points [N, ...], each with steps of its own."""

    def __init__(self, like: Tensor) -> None:
        self.first, self.second = torch.zeros_like(like), torch.zeros_like(like)
        self.taken = like.new_zeros(len(like), *[1] * (like.ndim - 1))

    def step(self, gradient: Tensor, on: Tensor) -> Tensor:
        """Return the direction [B, ...] that is to be subtracted, for gradients [B, ...] of the points at `on`."""
        self.first = with_rows(self.first, on, BETA_1 * rows(self.first, on) + (1 - BETA_1) * gradient)
        self.second = with_rows(self.second, on, BETA_2 * rows(self.second, on) + (1 - BETA_2) * gradient.square())
        self.taken = with_rows(self.taken, on, rows(self.taken, on) + 1)
        k = rows(self.taken, on)
        first, second = rows(self.first, on) / (1 - BETA_1**k), rows(self.second, on) / (1 - BETA_2**k)
        return first / (second.sqrt() + TINY)


@dataclass(frozen=True)
class Best:
    """The quietest success of each sample so far; updated in place."""

    z: Tensor
    """[N, T]."""
    size: Tensor
    """[N], in whatever is made small."""
    met: Tensor
    """[N] bool."""

    def note(self, on: Tensor, z: Tensor, size: Tensor, met: Tensor) -> None:
        """Take points z [B, T] of the samples `on` where they succeeded and are quieter."""
        better = met & (size < self.size[on])
        where = on[better]
        self.z[where], self.size[where], self.met[where] = z[better], size[better], True
