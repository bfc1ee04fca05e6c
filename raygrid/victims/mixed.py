"""Passes for gradients in 16 bits: what a GPU does at a multiple of its float32 speed. No verdict is made of them.

A step of an attack needs the direction of a gradient, which 16 bits tell well enough; whether an example works is asked in float32,
see `raygrid/oracle.py`.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from raygrid.batch_sizes import fill, filled_up
from raygrid.victims.folding import folded

BITS = {"cuda": torch.float16, "cpu": torch.bfloat16}
"""What autocast computes in. Gradients of EfficientNet-Lite0 by float16 lie at a cosine of 0.98 to those of float32, by bfloat16 of
0.8; most CPUs are quick at none but the latter."""
SCALE = 64.0
"""What slopes are multiplied by on their way back, and gradients divided by: numbers below 6e-5 lose bits in float16. Gradients of
the built-in classifiers stay under 300 so; what overflows is computed in float32."""
PASSES_BEFORE_CAPTURE = 8
"""Passes of one shape that are run kernel by kernel; capturing costs about as much as some of them."""
SIZES = 2
"""Of batches, from a power of two to the next."""
LOOKED_AT = 2
"""Inputs that show how a victim is built."""
MOST_GRAPHS = 8
"""Shapes that are captured of one victim: each graph keeps the memory that its pass takes."""


class MixedPasses:
    """A victim for gradients: in 16 bits where that is safe (autocast), on a GPU channels-last, its batch norms folded into its
    convolutions, and captured as CUDA graphs.

    Small nets take longer to launch kernel by kernel than to compute: a graph launches all of a pass at once. On a GPU batches are
    filled up to few sizes, whether their pass is captured yet or not, so that no result hangs on what ran before.

    Args:
        victim: inputs [B, ...] -> outputs [B, ...]; it may have a `soft` form for gradients, and take numbers of each look.
    """

    def __init__(self, victim: Callable[..., Tensor]) -> None:
        tensors = [*victim.parameters(), *victim.buffers()] if isinstance(victim, nn.Module) else []
        self._device = tensors[0].device.type if tensors else "cpu"
        self._captures = self._device == "cuda" and not getattr(victim, "random", False)
        self._victim, self._ready = victim, not self._captures
        self._passes = Counter[tuple[int, ...]]()
        self._graphs: dict[tuple[int, ...], Callable[[Tensor], Tensor]] = {}

    def __call__(self, x: Tensor, *draws: object) -> Tensor:
        """Return outputs [B, ...] in float32 of inputs x [B, ...], differentiable by x."""
        if not self._ready:
            self._victim, self._ready = quick(self._victim, x.detach()), True
        captures = self._captures and x.requires_grad and not draws
        # What a graph gives out lies where it puts the next one: scaling takes the gradient away, the copy the outputs.
        full = _scaled(fill(x, filled_up(len(x), SIZES)) if captures else x, 1 / SCALE)
        outputs = self._run(full) if captures else self._outputs(full, *draws)
        return _scaled(outputs[: len(x)].to(torch.float32, copy=True), SCALE)

    def _run(self, x: Tensor) -> Tensor:
        shape = tuple(x.shape)
        self._passes[shape] += 1
        if (
            shape not in self._graphs
            and self._passes[shape] > PASSES_BEFORE_CAPTURE
            and len(self._graphs) < MOST_GRAPHS
        ):
            self._graphs[shape] = self._captured(x)
        return self._graphs.get(shape, self._outputs)(x)

    def _captured(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the pass of this shape as a graph; as it is where it can't be captured: where it waits for values, say."""
        sample = torch.zeros_like(x, requires_grad=True)
        try:
            graph: Any = torch.cuda.make_graphed_callables(cast(Any, self._outputs), (sample,))
        except RuntimeError:
            torch.cuda.synchronize(x.device)
            return self._outputs
        captured: Callable[[Tensor], Tensor] = graph
        return captured

    def _outputs(self, x: Tensor, *draws: object) -> Tensor:
        # Weights cast under one autocast are kept for the next cast of them, which a graph would not know of.
        with torch.autocast(self._device, dtype=BITS[self._device], cache_enabled=False):
            outputs: Tensor = getattr(self._victim, "soft", self._victim)(x, *draws)
            return outputs


def quick(victim: Callable[..., Tensor], x: Tensor) -> Callable[..., Tensor]:
    """Return a copy of a victim as GPUs like it, after a look at some inputs x [B, ...]: channels-last, and without the batch norms
    that follow convolutions. The victim itself, by which verdicts are made, stays as it is."""
    if not isinstance(victim, nn.Module):
        return victim
    return cast(nn.Module, cast(Any, folded(victim, x[:LOOKED_AT])).to(memory_format=torch.channels_last))


class _Scaled(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a number, in a tensor of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def _scaled(x: Tensor, factor: float) -> Tensor:
    scaled: Tensor = cast(Any, _Scaled).apply(x, factor)
    return scaled


def mixed_passes(victim: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a victim's passes in 16 bits: its own, which know the graphs of earlier attacks, where it keeps them."""
    own: Callable[..., Tensor] | None = getattr(victim, "mixed", None)
    return own or MixedPasses(victim)
