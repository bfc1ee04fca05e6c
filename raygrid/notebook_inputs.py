"""What a notebook hands to `raygrid.attack`, and what is wrong with it."""

import torch
from torch import Tensor, nn

from raygrid.errors import UsageError
from raygrid.job import check_budget as budget_buys
from raygrid.job import check_eps, check_rivals
from raygrid.outputs import Outputs
from raygrid.spec import AttackSpec, Budget


def check_kinds(victim: object, x: object, y: object, eps: object) -> None:
    """Refuse what is no model, no tensor or no number.

    Raises:
        UsageError: it says which argument, and what it must be.
    """
    if not isinstance(victim, nn.Module | str):
        raise UsageError(
            f"the victim must be a torch.nn.Module or the name of a built-in one, not {type(victim).__name__}; a function can be "
            "called by a module's forward"
        )
    for name, value in (("x", x), ("y", y)):
        if not isinstance(value, Tensor):
            raise UsageError(
                f"{name} must be a torch tensor, not {type(value).__name__}: torch.as_tensor({name}) makes one"
            )
    if eps is not None and (isinstance(eps, bool) or not isinstance(eps, int | float)):
        raise UsageError(f"eps must be one number, such as 8 / 255, not {eps!r}; a grid over several is a job's")


def check_budget(spec: AttackSpec) -> None:
    """Refuse a budget that buys nothing, and one for a suite.

    Raises:
        UsageError: either.
    """
    for name, most in (("queries", spec.budget.queries), ("gradients", spec.budget.gradients)):
        if most is not None and most < 1:
            raise UsageError(f"budget: {name} must be at least 1, not {most}: what asks nothing finds nothing")
    if wrong := budget_buys(spec):
        raise UsageError(wrong)
    if spec.component.suite and spec.budget != Budget():
        raise UsageError(
            f'attack "{spec.component.name}" is a suite: a budget would end its stages one by one; give one attack of it a budget'
        )


def check_gradient(model: nn.Module, x: Tensor) -> None:
    """Refuse a model whose outputs know of no gradient. One that raises, or whose gradient is zero, is the business of the rows.

    Raises:
        UsageError: they do not.
    """
    z = x.clone().requires_grad_(True)
    try:
        with torch.enable_grad(), torch.random.fork_rng():
            outputs = getattr(model, "soft", model)(z)
    except Exception:  # a victim is anyone's code: what it raises is told sample by sample
        return
    if isinstance(outputs, Tensor) and not outputs.requires_grad:
        raise UsageError(
            "no gradient reaches the input of the victim (it detaches, leaves torch or decides by itself), and this attack needs "
            'one: use one on scores or decisions, such as "square" or "hop-skip-jump"'
        )


def check_inputs(x: Tensor, y: Tensor, spec: AttackSpec, micro_batch: int | None) -> None:
    """Refuse samples, labels and an eps that make no sense.

    Raises:
        UsageError: it says which, and what they must be.
    """
    if x.dim() != 4 or y.dim() != 1 or len(x) != len(y) or not len(x):
        raise UsageError(
            f"x must be [B, C, H, W] and y [B] with the same B >= 1, not {list(x.shape)} and {list(y.shape)}"
        )
    if y.is_floating_point() or y.dtype == torch.bool:
        raise UsageError(f"y must hold the numbers of classes, as integers, not {y.dtype}")
    if len(broken := (~torch.isfinite(x)).flatten(1).any(1).nonzero()):
        raise UsageError(f"x holds NaN or infinity, first in sample {int(broken[0])}, in {len(broken)} of {len(x)}")
    if not bool(((x >= 0) & (x <= 1)).all()):
        low, high = float(x.min()), float(x.max())
        fix = "divide by 255" if low >= 0 and high > 2 else "victims normalize inside"
        raise UsageError(f"x must lie in [0, 1], not in [{low:g}, {high:g}]: {fix}")
    if not spec.eps >= 0:
        raise UsageError(f"eps must be a radius of at least 0, not {spec.eps:g}")
    if only := spec.params.only_on():
        raise UsageError(f'attack "{spec.component.name}": with these parameters it is for samples of {only}, in a job')
    shape = (x.shape[1], x.shape[2], x.shape[3])
    if wrong := check_eps(spec, shape) or spec.params.misfit(shape):
        raise UsageError(wrong)
    if micro_batch is not None and micro_batch < 1:
        raise UsageError(f"micro_batch must be at least 1, not {micro_batch}")


def check_classes(clean: Outputs, classes: int, y: Tensor, spec: AttackSpec) -> None:
    """Refuse a victim that fails on everything, or whose classes are not those of the labels.

    Raises:
        UsageError: it says why.
    """
    if not clean.logits.shape[1]:
        raise UsageError(f"the victim fails on every sample; on the first: {clean.errors[0].splitlines()[-1]}")
    if classes < 2:
        raise UsageError("the victim has one class, so that nothing can be mistaken; return one logit a class")
    if not bool(((y >= 0) & (y < classes)).all()):
        raise UsageError(f"y must lie in 0..{classes - 1}, the victim's classes, not in {int(y.min())}..{int(y.max())}")
    if spec.target is not None and not 0 <= spec.target < classes:
        raise UsageError(f"target must lie in 0..{classes - 1}, the victim's classes, not be {spec.target}")
    if wrong := check_rivals(spec, classes):
        raise UsageError(wrong)
