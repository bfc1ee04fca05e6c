"""The preflight of a victim: whether it keeps its contract on a batch of the data that it will be attacked on."""

import torch
from torch import Tensor

from raygrid.victims.ensemble_model import Several
from raygrid.victims.user_code import blame
from raygrid.victims.victim import Victim

REPEAT_TOLERANCE = 1e-5
"""Largest difference of two runs of one batch, as a share of the largest output: sums in another order stay below."""
BATCH_TOLERANCE = 1e-3
"""Largest influence of a batch's other samples on one, likewise. Other batch sizes may choose other kernels."""
SUM_TOLERANCE = 1e-3
"""How far the outputs of a sample may miss a sum of 1 and still be probabilities."""


def check_victim(
    victim: Victim,
    x: Tensor,
    labels: Tensor,
    classes_of_data: int,
    *,
    may_be_masked: bool = False,
    may_be_random: bool = False,
) -> list[str]:
    """Run a victim on one batch and say what is wrong with it.

    Args:
        victim: the victim, on the device of x.
        x: pixels [B, C, H, W] in [0, 1], or waveforms [B, T] in [-1, 1]; B >= 1.
        labels: true classes [B].
        classes_of_data: number of classes that the data set has.
        may_be_masked: gradients may be zero or saturated: all that asks for them is part of a suite that does not rely on them.
        may_be_random: answers may differ from run to run: more than one draw judges them.

    Returns:
        One message for each fault, with the field and the fix; empty where the victim is fit for the data. Of an ensemble, the
        faults of its members come first: together they may look sound.
    """
    may_be = {"may_be_masked": may_be_masked, "may_be_random": may_be_random}
    faults = [
        f'member "{member.info.id}": {fault}'
        for member in (victim.model.victims if isinstance(victim.model, Several) else ())
        for fault in _faults(member, x, labels, classes_of_data, **may_be) or _twice_normalized(member, x)
    ]
    return faults or _faults(victim, x, labels, classes_of_data, **may_be)


def _faults(
    victim: Victim, x: Tensor, labels: Tensor, classes_of_data: int, *, may_be_masked: bool, may_be_random: bool
) -> list[str]:
    problems = [*_shape(victim, x), *_labels(victim, labels, classes_of_data)]
    if problems:
        return problems
    try:
        return _faults_in_answers(victim, x, may_be_masked=may_be_masked, may_be_random=may_be_random)
    except Exception as error:  # a victim is anyone's code and may raise anything
        return [
            f"the victim raised {blame(error)} on a batch {list(x.shape)}; run it on such a batch by itself to see why"
        ]


def _faults_in_answers(victim: Victim, x: Tensor, *, may_be_masked: bool, may_be_random: bool) -> list[str]:
    writes = victim.info.task == "transcription"
    if found := (_transcripts if writes else _outputs)(victim, x) or _broken_gradient(victim, x):
        return found
    if writes and victim.info.access != "gradient":
        return []  # texts of other lengths are no numbers to compare
    masked = [] if may_be_masked else _masked_gradient(victim, x)
    if repeat := _repeat(victim, x):
        return masked if may_be_random or victim.abstains else repeat + masked
    if victim.random:  # samples have numbers of their own, and votes that agree twice tell nothing of those of others
        return masked
    return [*_independence(victim, x), *masked]


def _shape(victim: Victim, x: Tensor) -> list[str]:
    wanted = victim.info.input_shape
    hears, sounds = victim.info.sample_rate > 0, x.ndim == 2
    if hears and sounds:
        return []
    if hears or sounds:
        takes, has = ("recordings", "pictures") if hears else ("pictures", "recordings")
        return [f"input: the victim takes {takes}, the data has {has}; choose others"]
    if all(size in {None, have} for size, have in zip(wanted, x.shape[1:], strict=True)):
        return []
    shown = [size or "any" for size in wanted]
    return [
        f"input: the victim takes {shown}, the data has {list(x.shape[1:])}; choose data of this size or mend `input`"
    ]


def _labels(victim: Victim, labels: Tensor, classes_of_data: int) -> list[str]:
    if victim.info.task != "classification":  # labels are people, or nothing, and outputs have no columns of them
        return []
    classes = victim.info.classes
    if classes_of_data > classes:
        return [
            f"classes: the data has {classes_of_data} classes and the victim {classes}; the victim cannot name them all"
        ]
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        return [f"labels: {int(labels.min())}..{int(labels.max())} are not all in the victim's 0..{classes - 1}"]
    return []


def _outputs(victim: Victim, x: Tensor) -> list[str]:
    with torch.no_grad():
        found: object = victim(x)
    if not isinstance(found, Tensor):
        return [f"output: the victim returns {type(found).__name__}; it must return one tensor of logits [B, classes]"]
    batch, classes = len(x), victim.info.classes + victim.abstains
    if found.ndim != 2 or len(found) != batch:
        return [f"output: the victim returns {list(found.shape)}; it must return logits [{batch}, {classes}]"]
    if found.shape[1] != classes:
        return [f"classes: the victim returns {found.shape[1]} scores, not {classes}; say classes: {found.shape[1]}"]
    if not found.is_floating_point():
        return [f"output: the victim returns {found.dtype}; it must return float logits"]
    broken = int((~torch.isfinite(found)).any(1).sum())
    if broken:
        return [f"output: NaN or infinity for {broken} of {batch} samples; check `mean`, `std` and the weights"]
    return []


def _transcripts(victim: Victim, x: Tensor) -> list[str]:
    """Hold a recognizer to log-probabilities a frame; one that gives no scores to tokens."""
    with torch.no_grad():
        found: object = victim(x)
    if victim.info.access in {"decision", "none"}:
        fits = isinstance(found, Tensor) and found.ndim == 2 and len(found) == len(x) and not found.is_floating_point()
        return [] if fits else ["output: the victim must return its tokens, integers [B, length]"]
    wanted = (len(x), victim.info.classes)
    if not isinstance(found, Tensor) or found.ndim != 3 or (found.shape[0], found.shape[2]) != wanted:
        shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        return [
            f"output: the victim returns {shape}; it must return log-probabilities [{wanted[0]}, frames, {wanted[1]}]"
        ]
    if not bool(((found.exp().sum(-1) - 1).abs() < SUM_TOLERANCE).all()):  # NaN misses it too
        return ["output: the probabilities of a frame's tokens miss a sum of 1; return log_softmax of the scores"]
    return []


def _repeat(victim: Victim, x: Tensor) -> list[str]:
    with torch.no_grad():
        gap = _gap(victim(x), victim(x))
    if gap <= REPEAT_TOLERANCE:
        return []
    return [
        f"output: two runs of one batch differ by {gap:.1e} of the largest output, and one lucky draw would count as robust: "
        "take the randomness out, or let several draws judge it, judge: {draws: 20}, and attack it by audit or with eot"
    ]


def _independence(victim: Victim, x: Tensor) -> list[str]:
    """Hold one sample's output against the batch it is in, and outputs against each other."""
    other = x[:1].flip(-1) if x.ndim == 2 else 1 - x[:1]  # a waveform upside down sounds the same
    pair = torch.cat([x[:1], other])
    with torch.no_grad():
        alone, together, batch = victim(x[:1]), victim(pair), victim(x)
    problems = []
    gap = _gap(alone, together[:1])
    if gap > BATCH_TOLERANCE:
        problems.append(
            f"output: one sample's output moves by {gap:.1e} of the largest with the other samples of its batch; "
            "use stored statistics (batch normalization in eval mode)"
        )
    # One label for all is an answer; equal scores for all are none.
    constant = bool((torch.cat([together, batch]) == together[0]).all())
    if constant and victim.info.access != "decision":
        problems.append(
            "output: the victim gives the same output for different inputs; check its weights, `mean` and `std`"
        )
    return problems


def _broken_gradient(victim: Victim, x: Tensor) -> list[str]:
    if victim.info.access != "gradient":
        return []
    gradient = _gradient(victim, x)
    if gradient is None:
        return ["access: no gradient reaches the input; remove no_grad and detach, or bring it as `use: callable`"]
    if not bool(torch.isfinite(gradient).all()):
        return ["access: the input gradient has NaN or infinity; check for roots and logarithms of zero"]
    return []


def _masked_gradient(victim: Victim, x: Tensor) -> list[str]:
    if victim.info.access != "gradient":
        return []
    with torch.no_grad():
        outputs = victim(x)
    if _are_probabilities(outputs):
        return [
            "output: the victim returns probabilities, whose gradient vanishes where it is sure, so that attacks look weaker than "
            "they are; return the logits before the softmax, or attack it by audit alone"
        ]
    gradient = _gradient(victim, x)
    if gradient is None or not bool(gradient.any()):
        return [
            "access: the input gradient is zero everywhere; return logits rather than saturated probabilities or labels, or "
            "attack it by audit alone"
        ]
    return []


def _twice_normalized(member: Victim, x: Tensor) -> list[str]:
    with torch.no_grad():
        if (
            member.info.task != "classification"
            or member.info.access == "decision"
            or not _are_probabilities(member(x))
        ):
            return []
    return [
        "output: the victim returns probabilities, and an ensemble would take a softmax of them once more; return the logits "
        "before the softmax, or the logarithms of its outputs"
    ]


def _are_probabilities(outputs: Tensor) -> bool:
    return bool((outputs >= 0).all()) and bool(((outputs.sum(1) - 1).abs() < SUM_TOLERANCE).all())


def _gradient(victim: Victim, x: Tensor) -> Tensor | None:
    """Return the gradient of the largest outputs' lead over the mean; None where the outputs do not hang on the input by any.

    The largest output alone will not do: a log-probability of nearly 0 has no slope, and attacks go by those of the others.
    """
    pixels = x.detach().clone().requires_grad_()
    outputs = getattr(victim, "soft", victim)(pixels)
    if not outputs.requires_grad:
        return None
    (gradient,) = torch.autograd.grad((outputs.amax(-1) - outputs.mean(-1)).sum(), pixels, allow_unused=True)
    return torch.zeros_like(pixels) if gradient is None else gradient


def _gap(a: Tensor, b: Tensor) -> float:
    """Largest difference as a share of the largest output."""
    scale = torch.maximum(a.abs().max(), b.abs().max()).clamp_min(torch.finfo(a.dtype).tiny)
    return float((a - b).abs().max() / scale)
