"""A small victim, and a generator trained against it: what the tests of the generator start from."""

import math

import torch
from layered import small_victim

from raygrid import registry
from raygrid.constraints import Constraint
from raygrid.kernel import craft, fit
from raygrid.spec import AttackSpec, Budget

COMPONENT = registry.find("attack", "feature-space-generator")
AWARE = ("none", "input", "hidden", "both")
FEW = {"target_layer": "1", "epochs": 2, "draws": 2, "width": 3, "batch": 4, "lr": 1e-3, "lr_d": 2e-3}
BOX = Constraint("linf", math.inf)


def spec(goal="untargeted", target=None, budget=None, **params) -> AttackSpec:
    given = registry.parse(COMPONENT, {**FEW, **params})
    return AttackSpec(COMPONENT, given, "", math.inf, goal, target, budget=budget or Budget())


def fitted(batch, attack=None, seed=0, model=None, micro_batch=None):
    return fit(model or small_victim(), batch, attack or spec(), seed, access="gradient", micro_batch=micro_batch)


def examples(batch, tensors, attack=None, micro_batch=None):
    return craft(small_victim(), batch, attack or spec(), 0, access="gradient", fitted=tensors, micro_batch=micro_batch)


def source(seed=0):
    return torch.Generator().manual_seed(seed)
