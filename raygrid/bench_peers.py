"""Which attacks of other packages are the same method as ours, and how each is told to do the same: radius, steps, queries,
restarts, step size, start. None of the packages is a dependency; they are imported where they are called.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor

from raygrid.bench import Task

Same = Callable[[Any, float], dict[str, Any]]
"""(our parameters, eps) -> what the peer calls them. Step size, start and restarts are said too, where defaults differ."""


@dataclass(frozen=True)
class Peer:
    """Another package's form of one of our attacks."""

    package: str
    """As pip knows it."""
    modules: tuple[str, ...]
    """What must be importable."""
    call: Callable[[Task], Tensor]
    """Returns examples [B, C, H, W]."""

    @property
    def installed(self) -> bool:
        """Whether it can be run here."""
        return all(find_spec(module) is not None for module in self.modules)


def _torchattacks(name: str, same: Same) -> Peer:
    def call(task: Task) -> Tensor:
        attack = getattr(import_module("torchattacks"), name)
        examples: Tensor = attack(task.victim, **same(task.params, task.constraint.eps))(task.x, task.y)
        return examples

    return Peer("torchattacks", ("torchattacks",), call)


def _foolbox(name: str, same: Same) -> Peer:
    def call(task: Task) -> Tensor:
        foolbox = import_module("foolbox")
        model = foolbox.PyTorchModel(task.victim, bounds=(0, 1), device=task.x.device)
        eps = task.constraint.eps
        attack = getattr(foolbox.attacks, name)(**same(task.params, eps))
        _, examples, _ = attack(model, task.x, task.y, epsilons=None if math.isinf(eps) else eps)
        found: Tensor = examples
        return found

    return Peer("foolbox", ("foolbox",), call)


def _adv_lib(name: str, same: Same) -> Peer:
    def call(task: Task) -> Tensor:
        attack = getattr(_adv_lib_attacks(), name)
        examples: Tensor = attack(task.victim, task.x, task.y, **same(task.params, task.constraint.eps))
        return examples

    return Peer("adv-lib", ("adv_lib", "distutils"), call)


def _adv_lib_attacks() -> ModuleType:
    """adv-lib imports visdom, to draw when asked to; an empty module does while it is being imported."""
    if "adv_lib.attacks" in sys.modules or "visdom" in sys.modules or find_spec("visdom"):
        return import_module("adv_lib.attacks")
    sys.modules["visdom"] = ModuleType("visdom")
    try:
        return import_module("adv_lib.attacks")
    finally:
        del sys.modules["visdom"]


def _art(name: str, same: Same) -> Peer:
    def call(task: Task) -> Tensor:
        classification = import_module("art.estimators.classification")
        classes = task.victim.info.classes
        model = classification.PyTorchClassifier(
            task.victim,
            torch.nn.CrossEntropyLoss(),
            tuple(task.x.shape[1:]),
            classes,
            clip_values=(0.0, 1.0),
            device_type="gpu" if task.x.is_cuda else "cpu",
        )
        options = same(task.params, task.constraint.eps) | {"batch_size": len(task.x)}
        attack = getattr(import_module("art.attacks.evasion"), name)(model, **options)
        examples = attack.generate(task.x.cpu().numpy(), y=task.y.cpu().numpy())
        return torch.from_numpy(examples).to(task.x)

    return Peer("adversarial-robustness-toolbox", ("art", "sklearn"), call)


P = {"linf": math.inf, "l2": 2, "l1": 1, "l0": 0}
CAPITAL = {"linf": "Linf", "l2": "L2"}


def _alpha(p: Any, eps: float) -> float:
    """PGD's step, as ours has it by default."""
    return 2.5 * eps / p.steps if p.step_size is None else float(p.step_size)


def _fgsm(norm: str) -> tuple[Peer, ...]:
    named = {"linf": "LinfFastGradientAttack", "l2": "L2FastGradientAttack"}[norm]
    return (
        *([_torchattacks("FGSM", lambda p, eps: {"eps": eps})] if norm == "linf" else []),
        _foolbox(named, lambda p, eps: {"random_start": False}),
        _art("FastGradientMethod", lambda p, eps: {"norm": P[norm], "eps": eps}),
    )


def _pgd(norm: str) -> tuple[Peer, ...]:
    named = {
        "linf": "LinfProjectedGradientDescentAttack",
        "l2": "L2ProjectedGradientDescentAttack",
        "l1": "SparseL1DescentAttack",
    }[norm]
    foolbox = _foolbox(named, lambda p, eps: {"steps": p.steps, "abs_stepsize": _alpha(p, eps), "random_start": True})
    if norm == "l1":
        return (foolbox,)
    theirs = {"linf": "PGD", "l2": "PGDL2"}[norm]
    adv_lib = _adv_lib(
        "pgd_linf",
        lambda p, eps: {"ε": eps, "steps": p.steps, "absolute_step_size": _alpha(p, eps), "restarts": p.restarts},
    )
    return (
        _torchattacks(theirs, lambda p, eps: {"eps": eps, "alpha": _alpha(p, eps), "steps": p.steps}),
        foolbox,
        *([adv_lib] if norm == "linf" else []),
        _art(
            "ProjectedGradientDescentPyTorch",
            lambda p, eps: {
                "norm": P[norm],
                "eps": eps,
                "eps_step": _alpha(p, eps),
                "max_iter": p.steps,
                "num_random_init": p.restarts,
                "verbose": False,
            },
        ),
    )


def _apgd(norm: str, loss: str) -> tuple[Peer, ...]:
    adv_lib = _adv_lib(
        "apgd",
        lambda p, eps: {
            "eps": eps,
            "norm": P[norm],
            "n_iter": p.steps,
            "n_restarts": p.restarts,
            "loss_function": loss,
            "rho": p.rho,
            "use_large_reps": norm == "l1",
        },
    )
    if norm == "l1":
        return (adv_lib,)
    torchattacks = _torchattacks(
        "APGD",
        lambda p, eps: {
            "norm": CAPITAL[norm],
            "eps": eps,
            "steps": p.steps,
            "n_restarts": p.restarts,
            "loss": loss,
            "rho": p.rho,
        },
    )
    art = _art(
        "AutoProjectedGradientDescent",
        lambda p, eps: {
            "norm": P[norm],
            "eps": eps,
            "eps_step": 2 * eps,
            "max_iter": p.steps,
            "nb_random_init": p.restarts,
            "loss_type": "cross_entropy",
            "verbose": False,
        },
    )
    return (torchattacks, adv_lib, *([art] if loss == "ce" else []))  # ART's APGD on the DLR was not tried


def _apgd_t(norm: str) -> tuple[Peer, ...]:
    adv_lib = _adv_lib(
        "apgd_targeted",
        lambda p, eps: {
            "eps": eps,
            "norm": P[norm],
            "n_iter": p.steps,
            "n_restarts": p.restarts,
            "rho": p.rho,
            "num_targets": p.targets,
            "use_large_reps": norm == "l1",
        },
    )
    if norm == "l1":
        return (adv_lib,)
    torchattacks = _torchattacks(
        "APGDT",
        lambda p, eps: {
            "norm": CAPITAL[norm],
            "eps": eps,
            "steps": p.steps,
            "n_restarts": p.restarts,
            "rho": p.rho,
            "n_classes": p.targets + 1,
        },
    )
    return (torchattacks, adv_lib)


def _square(norm: str) -> tuple[Peer, ...]:
    return (
        _torchattacks(
            "Square",
            lambda p, eps: {
                "norm": CAPITAL[norm],
                "eps": eps,
                "n_queries": p.queries,
                "p_init": p.p_init,
                "resc_schedule": p.rescale,
            },
        ),
        _art(
            "SquareAttack",
            lambda p, eps: {"norm": P[norm], "eps": eps, "max_iter": p.queries, "p_init": p.p_init, "verbose": False},
        ),
    )


def _fab(norm: str) -> tuple[Peer, ...]:
    """torchattacks' FAB-T is none: it leaves a sample after the first class that succeeds at any distance."""
    return (
        _adv_lib(
            "fab",
            lambda p, eps: {
                "norm": P[norm],
                "n_iter": p.steps,
                "α_max": p.alpha_max,
                "β": p.beta,
                "η": p.eta,
                "restarts": p.targets * p.restarts,
                "targeted_restarts": p.targeted,
            },
        ),
    )


def _fmn(norm: str) -> tuple[Peer, ...]:
    named = {"linf": "LInf", "l2": "L2", "l1": "L1", "l0": "L0"}[norm] + "FMNAttack"
    gamma = 0.3 if norm == "l0" else 0.05
    return (
        _foolbox(named, lambda p, eps: {"steps": p.steps, "gamma": gamma}),
        _adv_lib("fmn", lambda p, eps: {"norm": P[norm], "steps": p.steps, "γ_init": gamma, "γ_final": p.gamma_last}),
    )


def _deepfool(norm: str) -> tuple[Peer, ...]:
    named = {"linf": "LinfDeepFoolAttack", "l2": "L2DeepFoolAttack"}[norm]
    foolbox = _foolbox(
        named,
        lambda p, eps: {
            "steps": p.steps,
            "candidates": p.candidates + 1,
            "overshoot": p.overshoot,
            "loss": "logits",
        },
    )
    adv_lib = _adv_lib("df", lambda p, eps: {"norm": P[norm], "steps": p.steps, "overshoot": p.overshoot})
    return (foolbox, adv_lib)


def _hop_skip_jump(norm: str) -> tuple[Peer, ...]:
    """foolbox' ends with an error where it finds no start for some sample, and so is given the others. ART's does not run: it
    hands float64 to a float32 victim."""

    def call(task: Task) -> Tensor:
        foolbox, p = import_module("foolbox"), cast(Any, task.params)
        model = foolbox.PyTorchModel(task.victim, bounds=(0, 1), device=task.x.device)
        first = foolbox.attacks.LinearSearchBlendedUniformNoiseAttack(
            steps=50
        )  # what the attack starts from by default
        starts, _, found = first(model, task.x, task.y, epsilons=None)
        examples = task.x.clone()
        if bool(found.any()):
            attack = foolbox.attacks.HopSkipJumpAttack(
                constraint=norm, steps=_estimates(p), initial_gradient_eval_steps=p.directions
            )
            x, y = task.x[found], task.y[found]
            _, examples[found], _ = attack(model, x, y, epsilons=None, starting_points=starts[found])
        return examples

    return (Peer("foolbox", ("foolbox",), call),)


def _estimates(p: Any) -> int:
    """How many estimates of p.directions * sqrt(t) points the queries pay for, one at least."""
    points, t = float(p.directions), 1
    while points + p.directions * math.sqrt(t + 1) <= p.queries:
        points, t = points + p.directions * math.sqrt(t + 1), t + 1
    return t


PEERS: dict[tuple[str, str], tuple[Peer, ...]] = {
    **{("fgsm", norm): _fgsm(norm) for norm in ("linf", "l2")},
    **{("pgd", norm): _pgd(norm) for norm in ("linf", "l2", "l1")},
    **{(f"apgd-{loss}", norm): _apgd(norm, loss) for loss in ("ce", "dlr") for norm in ("linf", "l2", "l1")},
    **{("apgd-t", norm): _apgd_t(norm) for norm in ("linf", "l2", "l1")},
    **{("square", norm): _square(norm) for norm in ("linf", "l2")},
    **{("fab", norm): _fab(norm) for norm in ("linf", "l2", "l1")},
    **{("fmn", norm): _fmn(norm) for norm in ("linf", "l2", "l1", "l0")},
    **{("deepfool", norm): _deepfool(norm) for norm in ("linf", "l2")},
    **{("hop-skip-jump", norm): _hop_skip_jump(norm) for norm in ("linf", "l2")},
    ("ddn", "l2"): (
        _foolbox("DDNAttack", lambda p, eps: {"steps": p.steps, "gamma": p.gamma, "init_epsilon": p.init_norm}),
        _adv_lib("ddn", lambda p, eps: {"steps": p.steps, "γ": p.gamma, "init_norm": p.init_norm, "levels": None}),
    ),
    ("carlini-wagner", "l2"): (
        _foolbox(
            "L2CarliniWagnerAttack",
            lambda p, eps: {
                "binary_search_steps": p.binary_steps,
                "steps": p.steps,
                "stepsize": p.lr,
                "initial_const": p.c_init,
                "abort_early": p.abort_early,
            },
        ),
        _adv_lib(
            "carlini_wagner_l2",
            lambda p, eps: {
                "binary_search_steps": p.binary_steps,
                "max_iterations": p.steps,
                "learning_rate": p.lr,
                "initial_const": p.c_init,
                "abort_early": p.abort_early,
            },
        ),
    ),
}
"""(our attack, norm) -> those of other packages that are the same method with the same options."""
