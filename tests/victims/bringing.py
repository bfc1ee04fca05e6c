"""How the tests of brought victims go from a job's words to a victim: parse, identify, build."""

from typing import Any

import torch

from raygrid.component import Params, resolve
from raygrid.registry import find, parse
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

torch.set_num_threads(1)


def params_of(use: str, words: dict[str, Any]) -> Params:
    return parse(find("victim", use), words)


def identify(use: str, **words: Any) -> VictimInfo:
    return resolve(find("victim", use).identify)(params_of(use, words), "mine")


def build(use: str, info: VictimInfo, **words: Any) -> Victim:
    return resolve(find("victim", use).build)(params_of(use, words), info)


def bring(use: str, **words: Any) -> Victim:
    return build(use, identify(use, **words), **words)


def pixels(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
