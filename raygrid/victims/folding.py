"""Batch norms folded into the convolutions before them: the same function, rounding aside, by fewer ways through memory.

Of EfficientNet-Lite0's passes in 16 bits on an H100 they are nearly half.
"""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from raygrid.arithmetic import compute_exactly

CLOSE = 1e-3
"""By how much answers may differ, as a share of the largest: folding moves them by some 1e-6."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def folded(model: nn.Module, x: Tensor) -> nn.Module:
    """Return a copy of a model in eval mode without the batch norms that take nothing but what a convolution gives out.

    Which these are is seen in a pass over x [B, ...]. A copy with all its batch norms is returned where the other one answers
    otherwise: what a convolution gives out may go elsewhere as well.
    """
    copy = deepcopy(model)
    with torch.no_grad(), compute_exactly():
        pairs, answers = _watched(copy, x)
        if not pairs:
            return copy
        for convolution, norm in pairs:
            _fold(copy.get_submodule(convolution), copy.get_submodule(norm))
            owner, _, name = norm.rpartition(".")
            setattr(copy.get_submodule(owner), name, nn.Identity())
        off = float((copy(x) - answers).abs().max())
    return copy if off <= CLOSE * float(answers.abs().max()) else deepcopy(model)


def _watched(model: nn.Module, x: Tensor) -> tuple[list[tuple[str, str]], Tensor]:
    """Return the names of convolutions and of the batch norms that take what they give out, and the answers to x."""
    given: dict[int, tuple[str, Tensor]] = {}  # the tensors are kept, so that no other has their id
    pairs: list[tuple[str, str]] = []
    runs = Counter[str]()

    def gives(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            runs[name] += 1
            given[id(output)] = (name, output)

        return note

    def takes(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            runs[name] += 1
            if id(inputs[0]) in given:
                pairs.append((given[id(inputs[0])][0], name))

        return note

    hooks = []  # a weight that is made anew for each pass, as by weight norm, is no parameter, and is left alone
    for name, module in model.named_modules():
        if isinstance(module, CONVOLUTIONS) and "weight" in module._parameters and not module._forward_pre_hooks:
            hooks.append(module.register_forward_hook(gives(name)))
        elif isinstance(module, _BatchNorm) and not module.training and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(takes(name)))
    try:
        answers: Tensor = model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return [(first, then) for first, then in pairs if runs[first] == runs[then] == 1], answers


def _fold(convolution: nn.Module, norm: nn.Module) -> None:
    c, n = cast(Any, convolution), cast(Any, norm)
    weight, bias = fuse_conv_bn_weights(c.weight, c.bias, n.running_mean, n.running_var, n.eps, n.weight, n.bias)
    c.weight, c.bias = weight.requires_grad_(False), bias.requires_grad_(False)
